"""Operations that must not happen twice: each adds one to a counter in the store, or takes one away."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.names import Sha256
from runtime.operations import subjects
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.workflow.records import LockWish, RunRecord
from runtime.workflow.starting import start

COUNTERS: Final = "database/counted/"
ADD, TAKE, BEGIN = "count.add", "count.take", "count.begin"
STARTER: Final = Actor(kind=ActorKind.PERSON, id="anna", role=Role.OPERATOR)
DEFINITION: Final = Sha256("0" * 64)

NameField = Annotated[str, Meta(max_length=80, description="Of the counter.")]


class CountRequest(Request, frozen=True, kw_only=True):
    name: NameField


class BeginRequest(Request, frozen=True, kw_only=True):
    run: NameField
    fails: bool = False
    locks: tuple[str, ...] = ()


class Counted(Result, frozen=True, kw_only=True):
    value: int


class Begun(Result, frozen=True, kw_only=True):
    run: str


def plan_add(state: PlanState, request: CountRequest) -> Plan | Refusal:
    return _counted(state, request.name, ADD, 1)


def plan_take(state: PlanState, request: CountRequest) -> Plan | Refusal:
    return _counted(state, request.name, TAKE, -1)


def _counted(state: PlanState, name: str, operation: str, by: int) -> Plan:
    key = f"{COUNTERS}{name}"
    before = state.value(key)
    value = int(before or 0) + by
    return Plan(
        operation=operation,
        subject=subjects.CLUSTER,
        summary=f"{name} becomes {value}",
        changes=(KeyChange(key=key, before=before, after=str(value).encode()),),
        reads=state.reads,
        inverse=Call(operation=TAKE if by > 0 else ADD, request={"name": name}),
        result={"value": value},
    )


def plan_begin(state: PlanState, request: BeginRequest) -> Plan | Refusal:
    run = RunRecord(
        id=request.run,
        kind="three-steps",
        definition=DEFINITION,
        input={"fails": request.fails},
        actor=STARTER,
        locks=tuple(LockWish(name=each) for each in request.locks),
        created_unix_ms=1,
    )
    begun = start(state, run)
    if isinstance(begun, Refusal):
        return begun
    return Plan(
        operation=BEGIN,
        subject=subjects.of_run(request.run),
        summary=f"run {request.run} begins",
        changes=begun.changes,
        reads=state.reads,
        result={"run": begun.run},
    )


def _change(name: str, request: type[Request], result: type[Result], plan: object) -> Change[Request]:
    return Change(
        name=name,
        summary=name,
        request=request,
        result=result,
        route=Route(method="POST", path=f"/{name}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan,  # type: ignore[arg-type]  # each plans its own kind of request
    )


OPERATIONS: Final = (
    _change(ADD, CountRequest, Counted, plan_add),
    _change(TAKE, CountRequest, Counted, plan_take),
    _change(BEGIN, BeginRequest, Begun, plan_begin),
)


def count_in(value: bytes | None) -> int:
    return int(value or 0)
