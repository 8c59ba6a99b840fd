"""The one way in which this layer asks a language model."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
from msgspec.structs import replace

from controllers.model_budget.records import Denied, Granted, Settlement, Wish
from llm_layer.errors import LlmFault
from llm_layer.providers.breaker import Breaker, Breakers
from llm_layer.providers.errors import BudgetEmpty, ModelsAbsent, ModelsExhausted, ProviderFault, Tried
from llm_layer.providers.ledger import Ledger, Unlimited
from llm_layer.providers.limits import USUAL, Limits
from llm_layer.providers.messages import Ask, Reply, Tier
from llm_layer.providers.prices import Prices, input_tokens_max
from llm_layer.providers.provider import Heard, Provider, Unheard
from llm_layer.providers.retries import wait_s
from runtime.clock import SystemClock

SETTLE_S: Final = 5.0  # what is not settled by then lapses, as spent

Pause = Callable[[float], Awaitable[None]]


class Models:
    """Providers in the order in which they are asked. Whoever answers first, answers.

    Of one turn: `ledger` pays for that turn's questions. Providers and breakers are shared by all turns.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        breakers: Breakers | None = None,
        ledger: Ledger | None = None,
        prices: Prices | None = None,
        limits: Limits = USUAL,
        jitter: Callable[[], float] = random.random,
        pause: Pause = anyio.sleep,
    ) -> None:
        self._providers = tuple(providers)
        self._breakers = breakers or Breakers(SystemClock())
        self._ledger = ledger or Unlimited()
        self._prices = prices or Prices(())
        self._limits = limits
        self._jitter = jitter
        self._pause = pause

    @property
    def present(self) -> bool:
        """Whether a question may be answered at all: nothing that serves models alone need be loaded otherwise."""
        return bool(self._providers)

    @property
    def has_cheap(self) -> bool:
        return any(each.model("cheap") != each.model("strong") for each in self._providers)

    async def ask(self, ask: Ask, heard: Heard | None = None) -> Reply:
        """Raises ModelsAbsent where none is configured, ModelsExhausted where none answered; of the latter
        BudgetEmpty where none may be paid for."""
        if not self._providers:
            raise ModelsAbsent("no language model is configured")
        told = _Telling(heard or Unheard())
        tried: list[Tried] = []
        total_s = min(self._limits.total_s, ask.within_s)
        with anyio.move_on_after(total_s):
            for provider in self._providers:
                reply = await self._of_provider(provider, ask, told, tried)
                if reply is not None:
                    return reply
            raise ModelsExhausted(tried)
        late = Tried(provider="all", trouble="slow", detail=f"no whole answer within {total_s:g} s")
        raise ModelsExhausted([*tried, late])

    async def _of_provider(self, provider: Provider, ask: Ask, told: _Telling, tried: list[Tried]) -> Reply | None:
        """None where it is the next provider's turn; why stands in `tried`."""
        breaker = self._breakers.of(provider.name)
        whole, retry = False, 0
        while True:
            if not breaker.allows():
                detail = f"left alone for {breaker.open_for_s:.0f} s more, as it failed {breaker.failures} times"
                tried.append(Tried(provider=provider.name, trouble="open", detail=detail))
                return None
            try:
                return await self._paid(provider, ask, told, breaker, whole=whole)
            except ProviderFault as fault:
                tried.append(Tried(provider=provider.name, trouble=fault.trouble, detail=str(fault)))
                waiting_s = None if whole else wait_s(fault, retry, self._jitter())
                if waiting_s is None:
                    return None
                whole, retry = fault.amid_call, retry + 1
            if waiting_s:
                await self._pause(waiting_s)

    async def _paid(self, provider: Provider, ask: Ask, told: _Telling, breaker: Breaker, *, whole: bool) -> Reply:
        """One try. What it takes at most is reserved before, and settled after, also where the turn is given up."""
        wish = self._wish(provider, ask)
        try:
            await told.begin()
            granted = await self._reserved(wish)
        except BaseException:
            breaker.unknown()
            raise
        ask = replace(ask, tier=granted.tier)
        settlement = Settlement(id=granted.id, tokens=wish.tokens)
        try:
            reply = await self._tried(provider, ask, told, whole=whole)
            breaker.went_well()
            reply = replace(reply, cost_micros=self._prices.cost(reply.model, reply.usage))
            settlement = _settled(granted, reply)
        except ProviderFault as fault:
            if fault.counts:
                breaker.failed(str(fault))
            else:
                breaker.unknown()
            if fault.free:
                settlement = Settlement(id=granted.id, tokens=0, micros=0)
            raise
        except BaseException:
            breaker.unknown()
            raise
        finally:
            await self._settle(settlement)
        return reply

    async def _tried(self, provider: Provider, ask: Ask, told: _Telling, *, whole: bool) -> Reply:
        if not whole:
            return await provider.stream(ask, told)
        reply = await provider.whole(ask)
        await told.text(reply.text)
        return reply

    def _wish(self, provider: Provider, ask: Ask) -> Wish:
        def worst(tier: Tier) -> int:
            return self._prices.reserved(provider.model(tier)).worst(ask)

        return Wish(
            provider=provider.name,
            tier=ask.tier,
            tokens=input_tokens_max(ask) + ask.tokens_max,
            strong_micros=worst("strong"),
            cheap_micros=worst("cheap"),
            incident=ask.incident,
        )

    async def _reserved(self, wish: Wish) -> Granted:
        """Raises BudgetEmpty, and ModelsExhausted where the cluster cannot say what may be spent."""
        try:
            decided = await self._ledger.reserve(wish)
        except LlmFault as fault:
            detail = f"nothing could be reserved ({fault})"
            raise ModelsExhausted([Tried(provider="budget", trouble="unasked", detail=detail)]) from fault
        if isinstance(decided, Denied):
            raise BudgetEmpty(decided)
        return decided

    async def _settle(self, settlement: Settlement) -> None:
        """Where the cluster cannot be asked it lapses, as spent."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(SETTLE_S), contextlib.suppress(LlmFault):
            await self._ledger.settle(settlement)


def _settled(granted: Granted, reply: Reply) -> Settlement:
    usage = reply.usage
    return Settlement(
        id=granted.id,
        tokens=usage.total - usage.cached,  # providers do not count against a minute what they had already
        micros=reply.cost_micros,
        model=reply.model,
        fresh=usage.fresh,
        cached=usage.cached,
        written=usage.written,
        output=usage.output,
    )


class _Telling:
    """Implements Heard: passes pieces on, and says `anew` only to somebody who has heard something."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._spoken = False

    async def text(self, piece: str) -> None:
        if piece:
            self._spoken = True
            await self._heard.text(piece)

    async def anew(self) -> None:
        await self._heard.anew()

    async def begin(self) -> None:
        """A try begins."""
        if self._spoken:
            self._spoken = False
            await self._heard.anew()
