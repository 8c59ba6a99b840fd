"""How a run begins: a planner puts its record, so that gate, audit and idempotency come with it."""

from __future__ import annotations

import msgspec

from runtime.operations.plan import KeyChange, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.limits import DEPTH_MAX, INPUT_BYTES_MAX, LOCK_CHARS_MAX, LOCKS_MAX, OPEN_RUNS_MAX
from runtime.workflow.locks import NOBODY, in_the_way, wishes
from runtime.workflow.records import LockRecord, RunRecord


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """`run` is the new run's id, or that of the one it joins: then there is nothing to change."""

    run: str
    joined: bool
    changes: tuple[KeyChange, ...]


def start(state: PlanState, run: RunRecord) -> Started | Refusal:
    """What a planner puts to start the run; everything it stands on is noted in `state`."""
    problem = _unfit(run)
    if problem:
        return Refusal(
            code="run_invalid",
            detail=problem,
            remedy="docs/decisions/0019-workflow-kernel.md says what a run may take.",
        )
    open_runs = _open_runs(state)
    same = next((each for each in open_runs if run.on_conflict == "join" and _same(each, run)), None)
    if same is not None:
        state.get(keys.run(same.id))  # noted: that it has not ended
        return Started(run=same.id, joined=True, changes=())
    if len(open_runs) >= OPEN_RUNS_MAX:
        return Refusal(
            code="too_many_runs",
            detail=f"{OPEN_RUNS_MAX} runs have not ended, the most there may be",
            remedy="Wait, or cancel some: aether run list.",
            retryable=True,
        )
    held = _held(state, run) if run.on_conflict == "reject" else ""
    if held:
        return Refusal(
            code="lock_conflict", detail=held, remedy="Wait for it, or let the run wait: queue.", retryable=True
        )
    return _new(state, run)


def open_runs(state: PlanState) -> list[RunRecord]:
    """Not noted. Those that a newer version wrote are left out."""
    return _open_runs(state)


def _new(state: PlanState, run: RunRecord) -> Started | Refusal:
    if run.parent:
        raw = state.value(keys.run(run.parent))
        parent = decode(raw, RunRecord) if raw is not None else None
        if parent is None or parent.ended:
            return Refusal(code="run_ended", detail=f"run {run.parent}, which would begin it, has ended")
        run = msgspec.structs.replace(run, depth=parent.depth + 1, root=parent.root or parent.id)
        if run.depth > DEPTH_MAX:
            return Refusal(code="run_too_deep", detail=f"runs begin one another {DEPTH_MAX} deep at most")
    key = keys.run(run.id)
    change = KeyChange(key=key, before=state.value(key), after=encode(run))
    return Started(run=run.id, joined=False, changes=(change,))


def _open_runs(state: PlanState) -> list[RunRecord]:
    found = []
    for item in state.all_items(keys.RUNS):
        try:
            record = decode(item.value, RunRecord)
        except msgspec.DecodeError:
            continue
        if not record.ended:
            found.append(record)
    return found


def _same(one: RunRecord, other: RunRecord) -> bool:
    return (one.kind, one.definition, one.input) == (other.kind, other.definition, other.input)


def _held(state: PlanState, run: RunRecord) -> str:
    """Who has a lock that it wants, or waits for it; empty when nobody does."""
    for name, mode in wishes(run.locks).items():
        raw = state.value(keys.run_lock(name))
        in_way = in_the_way(decode(raw, LockRecord) if raw is not None else NOBODY, run.id, mode, {run.parent})
        if in_way:
            return f"lock {name} is taken by {', '.join(in_way)}"
    return ""


def _unfit(run: RunRecord) -> str:
    if len(msgspec.json.encode(run.input)) > INPUT_BYTES_MAX:
        return f"a run's input has {INPUT_BYTES_MAX} bytes of JSON at most"
    if len(run.locks) > LOCKS_MAX:
        return f"a run has {LOCKS_MAX} locks at most"
    long = next((each.name for each in run.locks if not 0 < len(each.name) <= LOCK_CHARS_MAX), None)
    return f"a lock's name has 1 to {LOCK_CHARS_MAX} characters: {long[:200]!r}" if long is not None else ""
