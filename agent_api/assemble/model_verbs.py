"""What a turn may do with the budget of language models, over the connection that lives for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec

from agent_api.control_api.turns import RESERVE, SETTLE, STAND, Replied
from controllers.model_budget.keeper import BudgetKeeper, Purse
from controllers.model_budget.records import Limits, ProviderStanding, Settlement, Wish
from runtime.cluster.membership import Lines
from runtime.config.settings import NodeSettings
from runtime.errors import RuntimeFault
from runtime.invocation.incoming import IncomingCall

Verb = Callable[[IncomingCall], Awaitable[bytes]]
MICROS: Final = 1_000_000
CLOSE_S: Final = 5.0
PROVIDERS_MAX: Final = 8  # of a telling; there are three


@asynccontextmanager
async def model_verbs(keeper: BudgetKeeper, principal: str, log: Lines) -> AsyncIterator[dict[str, Verb]]:
    """For as long as the connection lives. What was reserved and is not settled by its end is spent."""
    purse = Purse(keeper, principal)

    async def reserve(call: IncomingCall) -> bytes:
        return await _replied(purse.reserve(msgspec.json.decode(call.payload, type=Wish)))

    async def settle(call: IncomingCall) -> bytes:
        return await _replied(purse.settle(msgspec.json.decode(call.payload, type=Settlement)))

    async def stand(call: IncomingCall) -> bytes:
        told = msgspec.json.decode(call.payload, type=tuple[ProviderStanding, ...])
        return await _replied(keeper.stand(told[:PROVIDERS_MAX]))

    try:
        yield {RESERVE: reserve, SETTLE: settle, STAND: stand}
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
            try:
                await purse.close()
            except RuntimeFault as fault:
                log.warning("model_budget_not_settled", reason=str(fault))  # it lapses by its time


def budget_limits(settings: NodeSettings) -> Limits:
    return Limits(
        minute_tokens=settings.model_tokens_per_minute,
        hour_micros=round(settings.model_usd_per_hour * MICROS),
        day_micros=round(settings.model_usd_per_day * MICROS),
    )


async def _replied(doing: Awaitable[object]) -> bytes:
    try:
        answer = await doing
    except RuntimeFault as fault:
        return msgspec.json.encode(Replied(code=fault.code, detail=str(fault), remedy=fault.remedy))
    return msgspec.json.encode(Replied(answer=msgspec.Raw(msgspec.json.encode(answer))))
