"""Answers about forecasts and their models, from what the leader told the store."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from controllers.ttm.queries import TtmModelPage, TtmModelRow, TtmModelsRequest, TtmStatus, TtmStatusRequest
from controllers.ttm.records import ForecastModel, ForecastState, TrainingTrouble, active_of, read
from runtime.operations.actor import Actor
from runtime.operations.queries.page import page_of
from runtime.state import keys


class TtmAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._cache = parts.view.cache

    async def status(self, _request: TtmStatusRequest, _actor: Actor) -> TtmStatus:
        active = active_of(self._cache.get(keys.FORECAST_ACTIVE))
        state = read(self._cache.get(keys.FORECAST_STATE), ForecastState)
        trouble = read(self._cache.get(keys.FORECAST_TRAINING), TrainingTrouble)
        return TtmStatus(
            state=state.state if state is not None else "unknown",
            code=state.code if state is not None else "",
            reason=state.reason if state is not None else "no leader has forecast yet",
            since_unix_ms=state.since_unix_ms if state is not None else 0,
            model=state.model if state is not None else active.number,
            chosen=active.number,
            probation=active.probation,
            why=active.why,
            models=len(self._models()),
            training=f"{trouble.reason} ({trouble.code})" if trouble is not None else "",
        )

    async def models(self, request: TtmModelsRequest, _actor: Actor) -> TtmModelPage:
        in_force = active_of(self._cache.get(keys.FORECAST_ACTIVE)).number
        page, cursor = page_of(self._models(), lambda each: (each.number,), request, newest_first=True)
        return TtmModelPage(items=tuple(_row(each, in_force) for each in page), next=cursor)

    def _models(self) -> list[ForecastModel]:
        found = (read(item, ForecastModel) for item in self._cache.items(keys.FORECAST_MODELS))
        return [each for each in found if each is not None]


def _row(model: ForecastModel, in_force: int) -> TtmModelRow:
    return TtmModelRow(
        number=model.number,
        ruling=model.ruling,
        recent=model.recent,
        longer=model.longer,
        older=model.older,
        parent=model.parent,
        cause=model.cause,
        made_unix_ms=model.made_unix_ms,
        samples=model.samples,
        slices=model.slices,
        sha256=model.sha256,
        base=model.base,
        in_force=model.number == in_force,
    )
