"""Operations on nodes that a provider makes: ask for some, give one back, and say how that is decided."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.nodes.config import KEY, NodeConfig, NodePolicyInvalid, checked, config_of, members_of
from controllers.nodes.port import NodeRole
from controllers.nodes.records import NodeNumber, NodeRequest, made_of, request_of
from controllers.scaling.config import ConfigRecord
from controllers.scaling.operations import MembersField, NamesField
from runtime.operations import nodes, subjects
from runtime.operations.actor import Role
from runtime.operations.operation import Change, Convergence, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.operations.store_members import MEMBERS_MAX
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import StoreMemberWish, encode

PROVISION: Final = "node.provision"
RETIRE: Final = "node.retire"
JOIN_MS: Final = 60_000  # a process takes seconds, a machine in a cloud a minute; a guess for people


class ProvisionRequest(Request, frozen=True, kw_only=True):
    nodes: Annotated[int, Meta(ge=1, le=10, description="How many.")] = 1
    role: Annotated[NodeRole, Meta(description="A core node also votes in the store.")] = "worker"


class ConfigureNodesRequest(Request, frozen=True, kw_only=True):
    set: MembersField = msgspec.field(default_factory=dict)
    unset: NamesField = ()


class NodesRequested(Result, frozen=True, kw_only=True):
    nodes: Annotated[tuple[str, ...], Meta(description="The names that they will have.")]


class NodeRetired(Result, frozen=True, kw_only=True):
    node: str


class NodesConfigured(Result, frozen=True, kw_only=True):
    members: Annotated[dict[str, Json], Meta(description="All that is set from now on.")]


def plan_provision(state: PlanState, request: ProvisionRequest) -> Plan | Refusal:
    """Each of these plans writes the number that names are made from, so that no two of them count the same nodes."""
    config = config_of(state)
    if not config.provider:
        return Refusal(
            code="no_node_provider",
            detail="nobody provides nodes to this cluster",
            remedy="Let a node join by hand, or name a provider: aether controller configure-nodes.",
        )
    provided = sum(each.state != "retiring" for each in _requests(state))
    if provided + request.nodes > config.most:
        return Refusal(
            code="too_many_nodes",
            detail=f"{provided} provided nodes and {request.nodes} more are above {config.most}, the most there may be",
            remedy="Raise `most`: aether controller configure-nodes.",
        )
    members = state.records.store_members()
    if request.role == "core" and members is not None and len(members.addresses) + request.nodes > MEMBERS_MAX:
        return Refusal(
            code="too_many_members",
            detail=f"the store's group has {len(members.addresses)} members, and {MEMBERS_MAX} are the most",
            remedy="Take the votes of nodes that are gone: aether store member-remove.",
        )
    number = state.value(keys.NODE_NUMBER)
    names, made = _names(state, made_of(number), request.nodes)
    changes = [KeyChange(key=keys.NODE_NUMBER, before=number, after=encode(NodeNumber(made=made)))]
    changes += [
        KeyChange(key=keys.node_request(name), before=None, after=encode(NodeRequest(node=name, role=request.role)))
        for name in names
    ]
    return Plan(
        operation=PROVISION,
        subject=subjects.CLUSTER,
        summary=f"{', '.join(names)}: made by the provider, to join as {request.role}",
        changes=tuple(changes),
        reads=state.reads,
        estimated_ms=JOIN_MS,
        result={"nodes": list(names)},
    )


def _requests(state: PlanState) -> list[NodeRequest]:
    return [each for key in state.all_items(keys.NODE_REQUESTS) if (each := request_of(state, _named(key.key)))]


def _named(key: str) -> str:
    return keys.parts(key)[0]


def _names(state: PlanState, made: int, count: int) -> tuple[tuple[str, ...], int]:
    """Names that no node ever had from here, nor one has that came by itself."""
    found: list[str] = []
    while len(found) < count:
        made += 1
        name = f"auto-{made}"
        if state.records.node(name) is None and state.value(keys.node_request(name)) is None:
            found.append(name)
    return tuple(found), made


def plan_retire(state: PlanState, request: nodes.NodeRequest) -> Plan | Refusal:
    """As node.shutdown does, and the provider takes back what is left; also of a node that has not joined yet."""
    wanted = request_of(state, request.node)
    if wanted is None:
        return Refusal(
            code="node_not_provided",
            detail=f"no provider made a node {request.node} for this cluster",
            remedy="`aether controller nodes` lists those; any other goes by `aether node shutdown`.",
        )
    key = keys.node_request(request.node)
    marked = KeyChange(
        key=key, before=state.value(key), after=encode(msgspec.structs.replace(wanted, state="retiring"))
    )
    own = () if wanted.state == "retiring" else (marked, *_vote_gone(state, wanted))
    plan = Plan(
        operation=RETIRE,
        subject=nodes.subject(request),
        summary=f"node {request.node} hands its instances to others, ends, and goes back to its provider",
        changes=own,
        reads=state.reads,
        result={"node": request.node},
    )
    if state.records.node(request.node) is None:
        return plan
    shut = nodes.plan_shutdown(state, request)
    if isinstance(shut, Refusal):
        return shut
    return msgspec.structs.replace(
        plan,
        changes=(*shut.changes, *own),
        reads=state.reads,
        blast=shut.blast,
        estimated_ms=shut.estimated_ms,
    )


def _vote_gone(state: PlanState, wanted: NodeRequest) -> tuple[KeyChange, ...]:
    """A core node's vote goes once it is down; the group refuses what would lose its majority."""
    if wanted.role != "core":
        return ()
    key = keys.store_member_wish(wanted.node)
    wish = StoreMemberWish(node=wanted.node, want="none")
    return (KeyChange(key=key, before=state.value(key), after=encode(wish)),)


def retired(state: PlanState, request: nodes.NodeRequest) -> Convergence:
    there = state.get(keys.node_request(request.node)) is not None
    return Convergence(done=not there, waits_for=f"{request.node} is still there" if there else "")


def plan_configure(state: PlanState, request: ConfigureNodesRequest) -> Plan | Refusal:
    unknown = next((each for each in (*request.set, *request.unset) if each not in NodeConfig.__struct_fields__), "")
    if unknown:
        known = nearest(unknown, NodeConfig.__struct_fields__)
        return _invalid(f"the nodes' policy has no member {unknown[:60]!r}{known}")
    before = members_of(state)
    kept = {name: value for name, value in before.items() if name not in request.unset}
    try:
        given = msgspec.convert({**request.set}, NodeConfig, strict=False)
        after = {**kept, **{name: getattr(given, name) for name in request.set}}
        checked(after)
    except msgspec.ValidationError as error:
        return _invalid(str(error))
    except NodePolicyInvalid as fault:
        return _invalid(str(fault))
    words = [f"{name} becomes {after[name]}" for name in sorted(request.set)]
    words += [f"{name} goes back" for name in sorted(request.unset) if name in before]
    back: dict[str, Json] = {
        "set": {name: before[name] for name in (*request.set, *request.unset) if name in before},
        "unset": [name for name in request.set if name not in before],
    }
    changed = KeyChange(key=KEY, before=state.value(KEY), after=encode(ConfigRecord(members=after)) if after else None)
    return Plan(
        operation="controller.configure-nodes",
        subject=subjects.CLUSTER,
        summary=f"how nodes come and go: {', '.join(words) or 'nothing changes'}",
        changes=() if before == after else (changed,),
        reads=state.reads,
        inverse=Call(operation="controller.configure-nodes", request=back),
        result={"members": after},
    )


def _invalid(detail: str) -> Refusal:
    return Refusal(code=NodePolicyInvalid.code, detail=detail, remedy=NodePolicyInvalid.remedy)


OPERATIONS: Final = (
    Change(
        name=PROVISION,
        summary="Let the provider make nodes that join by themselves.",
        request=ProvisionRequest,
        result=NodesRequested,
        route=Route(method="POST", path="/v1/controller/nodes"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_provision,
        errors=("no_node_provider", "too_many_nodes", "too_many_members"),
    ),
    Change(
        name=RETIRE,
        summary="Drain a node that a provider made, end it, and give it back.",
        request=nodes.NodeRequest,
        result=NodeRetired,
        route=Route(method="DELETE", path="/v1/controller/nodes/{node}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=nodes.subject,
        plan=plan_retire,
        converged=retired,
        errors=("node_not_provided", "node_not_found", "nowhere_to_go", "quorum_lost"),
    ),
    Change(
        name="controller.configure-nodes",
        summary="Change how nodes come and go, and who provides them.",
        request=ConfigureNodesRequest,
        result=NodesConfigured,
        route=Route(method="PUT", path="/v1/controller/nodes/config"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_configure,
        errors=(NodePolicyInvalid.code,),
    ),
)
