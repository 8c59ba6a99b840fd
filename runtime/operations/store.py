"""Operations on the store itself."""

from __future__ import annotations

from typing import Final

from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.operation import Change, Convergence, Effect, Request, Risk, Route
from runtime.operations.plan import KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import StoreBackup, decode, encode

TAKEN_MS: Final = 2_000  # some MiB to write and to copy to two nodes; a guess for people


class SnapshotRequest(Request, frozen=True, kw_only=True):
    pass


def plan_snapshot(state: PlanState, _request: SnapshotRequest) -> Plan | Refusal:
    """Asks the leader for one: taking it takes longer than a transaction may."""
    known = [decode(item.value, StoreBackup) for item in state.all_items(keys.STORE_BACKUPS)]
    if any(each.state == "wanted" for each in known):
        return Refusal(
            code="snapshot_in_progress",
            detail="a snapshot of the store is being taken already",
            remedy="Wait for it: aether snapshot list.",
            retryable=True,
        )
    number = max((each.number for each in known), default=0) + 1
    key = keys.store_backup(number)
    wanted = StoreBackup(number=number)
    return Plan(
        operation="store.snapshot",
        subject=subjects.CLUSTER,
        summary=f"snapshot {number} of the store is taken and kept as content",
        changes=(KeyChange(key=key, before=state.value(key), after=encode(wanted)),),
        reads=state.reads,
        estimated_ms=TAKEN_MS,
        result={"number": number},
    )


def taken(state: PlanState, _request: SnapshotRequest) -> Convergence:
    waiting = [
        each.number
        for each in (decode(item.value, StoreBackup) for item in state.all_items(keys.STORE_BACKUPS))
        if each.state == "wanted"
    ]
    return Convergence(done=not waiting, waits_for=f"snapshot {waiting[0]} is being taken" if waiting else "")


OPERATIONS: Final = (
    Change(
        name="store.snapshot",
        summary="Keep a snapshot of the store as content, on several nodes.",
        request=SnapshotRequest,
        result=results.SnapshotWanted,
        route=Route(method="POST", path="/v1/store/snapshots"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_snapshot,
        converged=taken,
        errors=("snapshot_in_progress",),
    ),
)
