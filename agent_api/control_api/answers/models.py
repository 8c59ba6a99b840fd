"""Answers about language models: from the store's records and the settings in force at this node."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from controllers.model_budget.queries import (
    ModelBudgetRequest,
    ModelBudgetShown,
    ModelStatusRequest,
    ModelStatusShown,
)
from controllers.model_budget.records import Budget, ModelStanding
from controllers.model_budget.showing import shown
from runtime.config.effective import settings_in
from runtime.operations.actor import Actor
from runtime.state import keys
from runtime.state.values import decode


class ModelAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def status(self, _request: ModelStatusRequest, _actor: Actor) -> ModelStatusShown:
        """Raises StoreFault."""
        item = (await self._parts.store.get(keys.MODEL_STANDING, stale_ok=True)).item
        wanted = self._wanted()
        if item is None:
            return ModelStatusShown(wanted=wanted, providers=())
        told = decode(item.value, ModelStanding)
        return ModelStatusShown(
            wanted=wanted, providers=told.providers, told_by=told.node, told_unix_ms=told.at_unix_ms
        )

    async def budget(self, _request: ModelBudgetRequest, _actor: Actor) -> ModelBudgetShown:
        """Raises StoreFault."""
        item = (await self._parts.store.get(keys.MODEL_BUDGET, stale_ok=True)).item
        budget = decode(item.value, Budget) if item is not None else Budget()
        return shown(budget, self._parts.model_limits(), self._parts.clock.unix_ms())

    def _wanted(self) -> tuple[str, ...]:
        parts = self._parts
        return tuple(dict.fromkeys(settings_in(parts.view.cache, parts.node, parts.file_settings).model_providers))
