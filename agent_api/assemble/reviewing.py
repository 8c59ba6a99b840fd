"""The reasoner in the seat of the third scaling layer. Both are the leader's. It is started where models are configured
and it does not run yet; where there is none it has no opinion, and nothing is started for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec

from agent_api.assemble.model_verbs import model_verbs
from agent_api.control_api.turns import REVIEW
from controllers.model_budget.keeper import BudgetKeeper
from controllers.scaling.model import Opinion
from controllers.scaling.reasoning import Question
from runtime.cluster.membership import Lines
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix

PRINCIPAL: Final = "controller:scaling"
REVIEW_S: Final = 30.0  # later the load is another; ticks do not wait for it


Opened = Callable[[Handlers], Awaitable[Connection]]


class ReasonerSeat:
    """Implements ReasoningLayer."""

    def __init__(
        self, socket: Path, *, configured: Callable[[], bool], started: Opened, budget: BudgetKeeper, log: Lines
    ) -> None:
        """configured: whether there is any model to ask. started: a connection to the reasoner, which it starts."""
        self._socket = socket
        self._configured = configured
        self._started = started
        self._budget = budget
        self._log = log

    async def consider(self, question: Question) -> Opinion | None:
        """Raises CallFault where the reasoner breaks off, ReasonerAbsent where it cannot be started: no opinion
        either."""
        async with model_verbs(self._budget, PRINCIPAL, self._log) as models:
            connection = await self._connected(Handlers(unary=dict(models)))
            if connection is None:
                return None
            try:
                raw = await connection.call(REVIEW, msgspec.msgpack.encode(question), deadline_s=REVIEW_S)
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()
        return msgspec.msgpack.decode(raw, type=Opinion | None)

    async def _connected(self, handlers: Handlers) -> Connection | None:
        try:
            return await connect_unix(self._socket, handlers)
        except NotStarted:
            return await self._started(handlers) if self._configured() else None
