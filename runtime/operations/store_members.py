"""Operations on who has a vote in the store's group: the leader carries them out, the store refuses what it must."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.names import NodeId
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import NodeField
from runtime.operations.operation import Change, Convergence, Effect, Request, Risk, Route
from runtime.operations.plan import BlastRadius, Call, KeyChange, Plan, Refusal
from runtime.operations.refusals import node_unknown
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import StoreMembers, StoreMemberWish, encode

REMOVE: Final = "store.member-remove"
ADD: Final = "store.member-add"
MEMBERS_MAX: Final = 9  # of the group: runtime/consensus/raft/membership.py says why, and refuses more itself
CHANGED_MS: Final = 1_000  # the leader looks once a second, a change of members is one entry of the log
UNKNOWN: Final = Refusal(
    code="store_members_unknown",
    detail="the leader has not written down yet who belongs to the store's group",
    remedy="Try again in a moment.",
    retryable=True,
)


class MemberRequest(Request, frozen=True, kw_only=True):
    node: NodeField


def subject(request: MemberRequest) -> str:
    return subjects.of_node(request.node)


def plan_remove(state: PlanState, request: MemberRequest) -> Plan | Refusal:
    """Of a node that is down or leaves, and never of one without which those that answer are no majority."""
    members = state.records.store_members()
    if members is None:
        return UNKNOWN
    wish = state.records.store_member_wish(request.node)
    if request.node not in members.addresses:
        if wish is None:
            return _no_member(members, request.node)
        return _plan(state, REMOVE, request.node, None, "gets no vote in the store after all", None)
    record = state.records.node(request.node)
    is_live = _is_live(state, request.node)
    if is_live and not (record is not None and record.leaving):
        return Refusal(
            code="node_up",
            detail=f"node {request.node} is up, and its store would stop with its vote",
            remedy="Shut it down first: aether node shutdown.",
        )
    lost = _lost_without(state, members, request.node)
    if lost:
        return Refusal(
            code="quorum_lost",
            detail=lost,
            remedy="Start what is down, or let another core node join first: aether node provision --role core.",
        )
    votes = request.node in members.voters
    is_back = votes and record is not None and record.role == "core"
    back = Call(operation=ADD, request={"node": request.node}) if is_back else None
    said = "loses its vote in the store" if votes else "is no learner of the store any more"
    return _plan(state, REMOVE, request.node, StoreMemberWish(node=request.node, want="none"), said, back)


def plan_add(state: PlanState, request: MemberRequest) -> Plan | Refusal:
    """A core node becomes a learner, and gets its vote by itself once it has caught up."""
    members = state.records.store_members()
    if members is None:
        return UNKNOWN
    record = state.records.node(request.node)
    if record is None:
        return node_unknown(state, request.node)
    if record.role != "core":
        return Refusal(
            code="not_a_core_node",
            detail=f"node {request.node} is a worker: it has no store that could vote",
            remedy="Let a core node join: aether node provision --role core, or aether node start --role core.",
        )
    is_new = request.node not in members.addresses
    if is_new and len(members.addresses) >= MEMBERS_MAX:
        return Refusal(
            code="too_many_members",
            detail=f"the store's group has {MEMBERS_MAX} members, which is the most",
            remedy="Take one out first: aether store member-remove.",
        )
    if request.node in members.voters:
        return _plan(state, ADD, request.node, None, "keeps its vote in the store", None)
    wish = StoreMemberWish(node=request.node, want="voter", address=record.addresses.store)
    back = Call(operation=REMOVE, request={"node": request.node}) if is_new else None
    return _plan(state, ADD, request.node, wish, "gets a vote in the store once it has caught up", back)


def _plan(
    state: PlanState, operation: str, node: str, wish: StoreMemberWish | None, words: str, inverse: Call | None
) -> Plan:
    """wish: None where what is so already shall stay so, whatever was wished before."""
    key = keys.store_member_wish(node)
    before = state.records.store_member_wish(node)
    is_same = before == wish if before is None else msgspec.structs.replace(before, trouble="") == wish
    change = KeyChange(key=key, before=state.value(key), after=encode(wish) if wish is not None else None)
    return Plan(
        operation=operation,
        subject=subjects.of_node(node),
        summary=f"node {node} {words}",
        changes=() if is_same else (change,),
        reads=state.reads,
        blast=BlastRadius(nodes=(NodeId(node),)),
        inverse=inverse,
        estimated_ms=CHANGED_MS,
        result={"node": node, "want": "none" if operation == REMOVE else "voter"},
    )


def _no_member(members: StoreMembers, name: str) -> Refusal:
    detail = f"{name[:63]!r} is no member of the store's group{nearest(name, members.addresses)}"
    return Refusal(code="store_member_not_found", detail=detail, remedy="List them: aether store member-list.")


def _is_live(state: PlanState, node: str) -> bool:
    return state.get(keys.node_live(NodeId(node))) is not None


def _lost_without(state: PlanState, members: StoreMembers, node: str) -> str:
    """Why a majority would be gone, as far as the nodes' leases tell; the store looks again itself. Wishes that are
    under way count as done: two removals at once must not do what one may not."""
    going = {each.node for each in state.records.store_member_wishes() if each.want == "none"}
    after = sorted(set(members.voters) - {node} - going)
    if node not in members.voters:
        return ""
    if not after:
        return f"{node} is the only voter; without it there is no store"
    silent = [each for each in after if not _is_live(state, each)]
    if len(after) - len(silent) >= len(after) // 2 + 1:
        return ""
    return f"without {node} there would be no majority, for {', '.join(silent)} does not answer"


def removed(state: PlanState, request: MemberRequest) -> Convergence:
    members = state.records.store_members()
    done = members is not None and request.node not in members.addresses
    return Convergence(done=done, waits_for="" if done else _waits(state, request.node, "is a member still"))


def voting(state: PlanState, request: MemberRequest) -> Convergence:
    members = state.records.store_members()
    done = members is not None and request.node in members.voters
    return Convergence(done=done, waits_for="" if done else _waits(state, request.node, "has no vote yet"))


def _waits(state: PlanState, node: str, words: str) -> str:
    wish = state.records.store_member_wish(node)
    trouble = f": {wish.trouble}" if wish is not None and wish.trouble else ""
    return f"{node} {words}{trouble}"


OPERATIONS: Final = (
    Change(
        name=REMOVE,
        summary="Take the vote of a node that is down out of the store's group.",
        request=MemberRequest,
        result=results.StoreMemberWanted,
        route=Route(method="DELETE", path="/v1/store/members/{node}"),
        role=Role.ADMIN,
        risk=Risk.HIGH,
        effect=Effect.IDEMPOTENT,
        subject=subject,
        plan=plan_remove,
        converged=removed,
        errors=("store_member_not_found", "store_members_unknown", "node_up", "quorum_lost"),
    ),
    Change(
        name=ADD,
        summary="Give a core node a vote in the store's group, once it has caught up.",
        request=MemberRequest,
        result=results.StoreMemberWanted,
        route=Route(method="PUT", path="/v1/store/members/{node}"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=subject,
        plan=plan_add,
        converged=voting,
        errors=("node_not_found", "not_a_core_node", "store_members_unknown", "too_many_members"),
    ),
)
