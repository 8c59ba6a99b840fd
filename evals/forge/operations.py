"""Chaos as operations: declared like any other, and offered by a Forge alone. No cluster has them in its catalogue."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from evals.forge.wishes import LOAD, LoadWish, refusal_of
from runtime.errors import RuntimeFault
from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.dispatch import Applied, Outcome, Planned, PlanView, Refused, Submission
from runtime.operations.fields import NodeField
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import BlastRadius, Plan
from runtime.operations.state import PlanState

KindField = Annotated[
    Literal["node", "store", "control", "gateway", "worker"],
    Meta(description="`node`: all of its processes at once. Else one process of that kind."),
]
CutField = Annotated[tuple[NodeField, ...], Meta(min_length=1, max_length=9, description="Cut off from all others.")]


class KillRequest(Request, frozen=True, kw_only=True):
    node: NodeField
    kind: KindField = "node"


class NodeRequest(Request, frozen=True, kw_only=True):
    node: NodeField


class CutRequest(Request, frozen=True, kw_only=True):
    nodes: CutField


class HealRequest(Request, frozen=True, kw_only=True):
    pass


class Breaker(Protocol):
    async def do(self, command: str) -> str:
        """What was done, in a sentence. Raises a RuntimeFault."""
        ...


def _command(request: Request, verb: str) -> str:
    """As people type it."""
    match request:
        case KillRequest():
            return f"kill {request.kind} {request.node}"
        case NodeRequest():
            return f"{verb} {request.node}"
        case CutRequest():
            return f"partition {','.join(request.nodes)}"
        case _:
            return verb


class ChaosDone(Result, frozen=True, kw_only=True):
    said: Annotated[str, Meta(description="What happened, in words.")] = ""


def _chaos(verb: str, summary: str, request: type[Request]) -> Change[Request]:
    """Its plan changes no key: what it breaks are processes and links, which no store knows of."""
    name = f"chaos.{verb}"

    def subject(asked: Request) -> str:
        node = getattr(asked, "node", "")
        return subjects.of_node(node) if node else subjects.CLUSTER

    def plan(state: PlanState, asked: Request) -> Plan:
        return Plan(
            operation=name, subject=subject(asked), summary=_command(asked, verb), changes=(), reads=state.reads
        )

    return Change(
        name=name,
        summary=summary,
        request=request,
        result=ChaosDone,
        route=Route(method="POST", path=f"/forge/chaos/{verb}"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.ONCE,
        subject=subject,
        plan=plan,
        errors=("chaos_refused",),
    )


OPERATIONS: Final = (
    _chaos("kill", "Kill a node or one of its processes, as a power cut or a crash would.", KillRequest),
    _chaos("pause", "Stop a node's processes in their tracks.", NodeRequest),
    _chaos("resume", "Let a paused node go on.", NodeRequest),
    _chaos("start", "Start a node that was killed or stopped.", NodeRequest),
    _chaos("stop", "Drain a node, then stop it.", NodeRequest),
    _chaos("partition", "Cut nodes off from all others.", CutRequest),
    _chaos("heal", "Mend all cuts.", HealRequest),
)


NAMES: Final = tuple(each.name for each in OPERATIONS)
RULE: Final = "a Forge is there to be broken"


class ForgeDispatcher:
    """Implements Dispatcher for chaos alone: whoever started the Forge may break it, and no agent may."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._catalogue = Catalogue(OPERATIONS)

    async def submit(self, submission: Submission) -> Outcome:
        try:
            operation = self._catalogue.change(submission.operation)
            request = msgspec.convert(submission.request, operation.request)
        except OperationUnknown as fault:
            return Refused(code=fault.code, detail=str(fault), remedy=f"There are {', '.join(NAMES)}.")
        except msgspec.ValidationError as error:
            return Refused(code="request_invalid", detail=f"{submission.operation}: {error}")
        if (refusal := refusal_of(submission.actor)) is not None:
            return refusal
        command = _command(request, operation.name.removeprefix("chaos."))
        if submission.dry_run:
            return Planned(plan=_view(operation.name, operation.subject(request), command))
        try:
            said = await self._breaker.do(command)
        except RuntimeFault as fault:
            problem = fault.problem()
            return Refused(code=fault.code, detail=str(fault), remedy=str(problem.get("remedy", "")))
        return Applied(
            revision=0,
            operation=operation.name,
            subject=operation.subject(request),
            summary=command,
            result={"said": said},
            gate_class="G0",
            rule=RULE,
            audit="",
        )


def sent(wish: LoadWish) -> Applied:
    """What is said of load that is sent in the place of what was, or of none any more."""
    said = f"{wish.shape} load of {wish.rps:g} a second" if wish.rps else "no load"
    return Applied(
        revision=0,
        operation=LOAD,
        subject=subjects.CLUSTER,
        summary=said,
        result={"said": said},
        gate_class="G0",
        rule=RULE,
        audit="",
    )


def _view(name: str, subject: str, command: str) -> PlanView:
    return PlanView(
        operation=name,
        subject=subject,
        summary=command,
        diff=(),
        blast=BlastRadius(),
        inverse=None,
        estimated_ms=0,
        gate_class="G0",
        decision="act",
        rule=RULE,
        approvers="nobody",
        effect="",
        revision=0,
    )
