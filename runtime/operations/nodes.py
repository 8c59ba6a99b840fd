"""Operations on nodes: whether they take instances, moving these away, and ending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from runtime.names import NodeId
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import InstancesField, NodeField, SliceField
from runtime.operations.operation import Change, Convergence, Effect, Request, Risk, Route, always_converged
from runtime.operations.plan import BlastRadius, Call, KeyChange, Plan, Refusal
from runtime.operations.refusals import node_unknown
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import NodeRecord, encode

INSTANCES_COMPARED_MAX: Final = 256  # of 512 keys that a transaction compares
MOVE_MS: Final = 3_000  # an instance starts elsewhere, then stops here; a guess for people


class NodeRequest(Request, frozen=True, kw_only=True):
    node: NodeField


class KillRequest(Request, frozen=True, kw_only=True):
    node: NodeField
    slice: SliceField
    number: InstancesField


def subject(request: NodeRequest) -> str:
    return subjects.of_node(request.node)


def _marked(
    operation: str, inverse: str, words: str, **marks: bool
) -> Callable[[PlanState, NodeRequest], Plan | Refusal]:
    """A planner that sets members of the node's record."""

    def plan(state: PlanState, request: NodeRequest) -> Plan | Refusal:
        record = state.records.node(request.node)
        if record is None:
            return node_unknown(state, request.node)
        after = msgspec.structs.replace(record, **marks)
        moves = after.leaving and not record.leaving
        if moves and not _somewhere_else(state, record.node):
            return Refusal(
                code="nowhere_to_go",
                detail=f"no other node is there to take {record.node}'s instances",
                remedy="Start, activate or uncordon another node first.",
            )
        if after.shutdown and not record.shutdown and _decides(state, record):
            return Refusal(
                code="quorum_lost",
                detail=f"without {record.node} no majority of the core nodes would be left to decide anything",
                remedy="Start another core node first, or take the votes of lost ones: aether store member-remove.",
            )
        return Plan(
            operation=operation,
            subject=subject(request),
            summary=f"node {record.node} {words}",
            changes=_changed(record, after),
            reads=state.reads,
            blast=_blast(state, record.node) if moves else BlastRadius(nodes=(record.node,)),
            inverse=Call(operation=inverse, request={"node": record.node}) if inverse else None,
            estimated_ms=MOVE_MS if moves else 0,
            result={"node": record.node, **marks},
        )

    return plan


plan_shutdown: Final = _marked(
    "node.shutdown", "", "hands its instances to others and ends", leaving=True, shutdown=True
)


def _changed(before: NodeRecord, after: NodeRecord) -> tuple[KeyChange, ...]:
    if before == after:
        return ()
    return (KeyChange(key=keys.node(before.node), before=encode(before), after=encode(after)),)


def plan_forget(state: PlanState, request: NodeRequest) -> Plan | Refusal:
    """Of a node that is down, or leaves."""
    record = state.records.node(request.node)
    if record is None:
        return node_unknown(state, request.node)
    is_live = state.get(keys.node_live(record.node)) is not None
    if is_live and not record.leaving:
        return Refusal(
            code="node_up",
            detail=f"node {record.node} is up",
            remedy="Shut it down first: aether node shutdown, or on it aether node stop --data DIR --leave.",
        )
    gone = [(keys.node(record.node), encode(record))]
    gone += [
        (keys.instance(record.node, each.slice, each.number), encode(each))
        for each in state.records.assignments(record.node).values()
    ]
    members = state.records.store_members()
    votes = record.node in members.voters if members is not None else record.role == "core"
    vote = f"; its vote stays until `aether store member-remove {record.node}`" if votes else ""
    return Plan(
        operation="node.forget",
        subject=subject(request),
        summary=f"node {record.node} is no member any more{vote}",
        changes=tuple(KeyChange(key=key, before=value, after=None) for key, value in gone),
        reads=state.reads,
        blast=BlastRadius(nodes=(record.node,), instances=len(gone) - 1),
        result={"node": record.node, "forgotten": True},
    )


def plan_kill(state: PlanState, request: KillRequest) -> Plan | Refusal:
    node, number = NodeId(request.node), request.number
    found = next(
        (
            each
            for each in state.records.assignments(node).values()
            if (each.slice, each.number) == (request.slice, number)
        ),
        None,
    )
    if found is None:
        return Refusal(
            code="instance_not_found",
            detail=f"node {request.node} has no instance {request.number} of slice {request.slice}",
            remedy="List them: aether instance list.",
        )
    after = msgspec.structs.replace(found, kills=found.kills + 1, generation=found.generation + 1)
    serving = len(state.records.endpoints_of(request.slice))
    return Plan(
        operation="instance.kill",
        subject=subjects.of_slice(request.slice),
        summary=f"instance {number} of {request.slice} on {node} starts anew",
        changes=(KeyChange(key=keys.instance(node, found.slice, number), before=encode(found), after=encode(after)),),
        reads=state.reads,
        blast=BlastRadius(
            instances=1,
            nodes=(node,),
            capacity_share=1 / serving if serving else 0.0,
            dependants=state.topology().dependants(request.slice) if serving <= 1 else (),
            budget_left=max(0, serving - found.settings.min_available),
        ),
        estimated_ms=MOVE_MS,
        result={"node": node, "slice": found.slice, "number": number, "generation": after.generation},
    )


def drained(state: PlanState, request: NodeRequest) -> Convergence:
    left = len(state.records.assignments(NodeId(request.node)))
    return Convergence(done=not left, waits_for=f"{left} instances are still on {request.node}" if left else "")


def shut_down(state: PlanState, request: NodeRequest) -> Convergence:
    is_live = state.get(keys.node_live(NodeId(request.node))) is not None
    return Convergence(done=not is_live, waits_for=f"{request.node} still runs" if is_live else "")


def _somewhere_else(state: PlanState, node: str) -> bool:
    return any(other.node != node and not other.leaving and not other.cordoned for other in state.records.live_nodes())


def _decides(state: PlanState, record: NodeRecord) -> bool:
    """Whether the store's majority stands and falls with it: among those that vote, and where that is not known yet,
    among the core nodes."""
    members = state.records.store_members()
    core = {str(each.node) for each in state.records.nodes() if each.role == "core"}
    voters = set(members.voters) if members is not None else core
    going = {str(each.node) for each in state.records.nodes() if each.shutdown}
    left = {str(each.node) for each in state.records.live_nodes()} & voters - {record.node} - going
    return record.node in voters and len(left) <= len(voters) // 2


def _blast(state: PlanState, node: NodeId) -> BlastRadius:
    """The share is of all instances: the worst slice's would say 1 for a slice of one instance, which only moves. Of
    more than can be compared, the node's own are."""
    here = state.records.assignments(node)
    few = len(state.all_items(keys.INSTANCES)) <= INSTANCES_COMPARED_MAX
    records = state.records if few else state.all_records
    placed = sum(len(records.assignments(each.node)) for each in state.records.nodes())
    topology = state.topology()
    dependants = {name for each in here.values() for name in topology.dependants(each.slice)}
    return BlastRadius(
        instances=len(here),
        nodes=(node,),
        capacity_share=len(here) / placed if placed else 0.0,
        dependants=tuple(sorted(dependants)),
    )


def _change(
    verb: str,
    summary: str,
    plan: Callable[..., Plan | Refusal],
    *,
    risk: Risk = Risk.LOW,
    role: Role = Role.OPERATOR,
    converged: Callable[..., Convergence] = always_converged,
    errors: tuple[str, ...] = (),
) -> Change[Request]:
    method, path = ("DELETE", "/v1/nodes/{node}") if verb == "forget" else ("POST", f"/v1/nodes/{{node}}/{verb}")
    return Change(
        name=f"node.{verb}",
        summary=summary,
        request=NodeRequest,
        result=results.NodeForgotten if verb == "forget" else results.NodeMarked,
        route=Route(method=method, path=path),  # type: ignore[arg-type]  # the two above
        role=role,
        risk=risk,
        effect=Effect.IDEMPOTENT,
        subject=subject,  # type: ignore[arg-type]  # requests of this file
        plan=plan,
        errors=("node_not_found", *errors),
        converged=converged,
    )


OPERATIONS: Final = (
    _change(
        "cordon",
        "Give a node no new instances.",
        _marked("node.cordon", "node.uncordon", "takes no new instances", cordoned=True),
    ),
    _change(
        "uncordon",
        "Let a node take instances again.",
        _marked("node.uncordon", "node.cordon", "takes instances again", cordoned=False),
    ),
    _change(
        "drain",
        "Move a node's instances elsewhere and give it no new ones.",
        _marked("node.drain", "node.activate", "hands its instances to others", leaving=True),
        risk=Risk.MEDIUM,
        converged=drained,
        errors=("nowhere_to_go",),
    ),
    _change(
        "activate",
        "Take a drained or cordoned node back into service.",
        _marked("node.activate", "", "takes instances again", leaving=False, cordoned=False, shutdown=False),
    ),
    _change(
        "shutdown",
        "Drain a node, then end all of its processes.",
        plan_shutdown,
        risk=Risk.HIGH,
        role=Role.ADMIN,
        converged=shut_down,
        errors=("nowhere_to_go", "quorum_lost"),
    ),
    _change(
        "forget",
        "Take a node that is down out of the cluster.",
        plan_forget,
        risk=Risk.HIGH,
        role=Role.ADMIN,
        errors=("node_up",),
    ),
    Change(
        name="instance.kill",
        summary="Start one instance anew.",
        request=KillRequest,
        result=results.InstanceKilled,
        route=Route(method="POST", path="/v1/nodes/{node}/instances/{slice}/{number}/kill"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda request: subjects.of_slice(request.slice),
        plan=plan_kill,
        errors=("instance_not_found",),
    ),
)
