"""Answers about what controllers decide from."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from controllers.context.queries import TrainingDataPage, TrainingDataRequest
from runtime.operations.actor import Actor


class ContextAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._training_data = parts.training_data

    async def training_data(self, request: TrainingDataRequest, _actor: Actor) -> TrainingDataPage:
        """Raises CursorInvalid or HistoryAway."""
        return await self._training_data.page(request)
