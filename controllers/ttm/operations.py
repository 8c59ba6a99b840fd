"""Operations on the models that forecast: which one is in force."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.ttm.records import (
    SHIPPED,
    ForecastActive,
    ForecastModel,
    active_of,
    model_key,
    outdated,
    pin_owner,
    read,
)
from runtime.content.port import pin_key
from runtime.names import Sha256
from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

NumberField = Annotated[
    int, Meta(ge=0, le=999_999, description="Of the model, as `ttm models` lists it; 0 is the one that is shipped.")
]
BesideField = Annotated[
    int | None,
    Meta(
        description="Ask this one too for a day, and go back to it if it does better; default: the one in force."
        " The same number: no probation."
    ),
]


class ActivateRequest(Request, frozen=True, kw_only=True):
    number: NumberField
    beside: BesideField = None


class UploadRequest(Request, frozen=True, kw_only=True):
    """Made from the bytes by the node that took and checked them."""

    record: ForecastModel


class RollbackRequest(Request, frozen=True, kw_only=True):
    pass


class ModelKept(Result, frozen=True, kw_only=True):
    number: NumberField
    sha256: Annotated[str, Meta(description="Of what was sent: the graph with its card.")]
    base: Annotated[str, Meta(description="SHA-256 of the graph.")]


class ModelActivated(Result, frozen=True, kw_only=True):
    number: NumberField
    before: NumberField
    probation: bool


def plan_upload(state: PlanState, request: UploadRequest) -> Plan | Refusal:
    """Kept under the next number, and not yet in force. The same bytes again change nothing."""
    models = [each for item in state.all_items(keys.FORECAST_MODELS) if (each := read(item, ForecastModel)) is not None]
    same = next((each for each in models if each.sha256 == request.record.sha256), None)
    number = same.number if same is not None else max((each.number for each in models), default=SHIPPED) + 1
    kept = msgspec.structs.replace(request.record, number=number, graph=number)
    changes: list[KeyChange] = []
    if same is None:
        state.get(model_key(number))  # somebody else's upload may take the number meanwhile
        gone = outdated(models, active_of(state.get(keys.FORECAST_ACTIVE)))
        changes = [
            KeyChange(key=model_key(number), before=None, after=encode(kept)),
            KeyChange(key=_pin(kept), before=None, after=b""),
            *(KeyChange(key=key, before=state.value(key), after=None) for key in (model_key(at.number) for at in gone)),
            *(KeyChange(key=_pin(each), before=b"", after=None) for each in gone),
        ]
    return Plan(
        operation="ttm.upload",
        subject=subjects.CLUSTER,
        summary=f"model {number} is kept{' already' if same is not None else ''}",
        changes=tuple(changes),
        reads=state.reads,
        result={"number": number, "sha256": kept.sha256, "base": kept.base},
    )


def _pin(model: ForecastModel) -> str:
    return pin_key(Sha256(model.sha256), pin_owner(model.number))


def plan_activate(state: PlanState, request: ActivateRequest) -> Plan | Refusal:
    for number in {request.number, request.beside or SHIPPED} - {SHIPPED}:
        if read(state.get(model_key(number)), ForecastModel) is None:
            return _unknown(state, number)
    beside = request.beside if request.beside is not None else active_of(state.get(keys.FORECAST_ACTIVE)).number
    return _chosen(state, "ttm.activate", ForecastActive(number=request.number, before=beside))


def plan_rollback(state: PlanState, _request: RollbackRequest) -> Plan | Refusal:
    """To the one before; from a model that has stayed, to the one that it was made from."""
    active = active_of(state.get(keys.FORECAST_ACTIVE))
    if active.number == SHIPPED:
        return Refusal(
            code="ttm_nothing_before",
            detail="the model that is shipped forecasts; nothing came before it",
            remedy="Choose one: aether ttm activate.",
        )
    model = read(state.get(model_key(active.number)), ForecastModel)
    parent = model.parent if model is not None else SHIPPED
    number = active.before if active.probation else parent
    return _chosen(state, "ttm.rollback", ForecastActive(number=number, before=number))


def _unknown(state: PlanState, number: int) -> Refusal:
    known = sorted(int(keys.parts(item.key)[0]) for item in state.all_items(keys.FORECAST_MODELS))
    return Refusal(
        code="ttm_model_not_found",
        detail=f"there is no model {number}; there are {', '.join(map(str, [SHIPPED, *known]))}",
        remedy="List them: aether ttm models.",
    )


def _chosen(state: PlanState, operation: str, wanted: ForecastActive) -> Plan:
    """Without a record the shipped model forecasts: so it is when it is chosen for good."""
    key = keys.FORECAST_ACTIVE
    item = state.get(key)
    active = active_of(item)
    same = active.number == wanted.number
    before = item.value if item is not None else None
    after = encode(wanted) if wanted != ForecastActive() else None
    beside = f", beside model {wanted.before} for a day" if wanted.probation else ""
    return Plan(
        operation=operation,
        subject=subjects.CLUSTER,
        summary=f"model {wanted.number} forecasts{' already' if same else beside}",
        changes=() if same else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=Call(operation="ttm.activate", request={"number": active.number, "beside": active.before}),
        result={"number": wanted.number, "before": active.number, "probation": wanted.probation},
    )


OPERATIONS: Final = (
    Change(
        name="ttm.upload",
        summary="Keep a model of one's own, which may then be chosen.",
        request=UploadRequest,
        result=ModelKept,
        route=Route(method="POST", path="/v1/ttm/models"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_upload,
        body="bytes",
    ),
    Change(
        name="ttm.activate",
        summary="Let another model forecast, on probation beside the one before.",
        request=ActivateRequest,
        result=ModelActivated,
        route=Route(method="PUT", path="/v1/ttm/active"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_activate,
        errors=("ttm_model_not_found",),
    ),
    Change(
        name="ttm.rollback",
        summary="Let the model before forecast again.",
        request=RollbackRequest,
        result=ModelActivated,
        route=Route(method="POST", path="/v1/ttm/rollback"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_rollback,
        errors=("ttm_nothing_before",),
    ),
)
