"""Order desks of a stated capacity, beside the order example. Copied into its project, where `order_domain` is."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from order_domain.model import Line, Quote
from order_domain.pricing import Pricing

from runtime.sdk import post, slice_

AT_ONCE: Final = 4
SERVICE_S: Final = 0.2
START_S: Final = 10.0


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[Line, ...]


async def served(pricing: Pricing, wish: Wish) -> Quote:
    """What the lines cost. It waits, as for a card terminal, and so needs no CPU."""
    quote = await pricing.quote(wish.lines)
    await asyncio.sleep(SERVICE_S)
    return quote


@slice_(name="desk-aether", version="1.0.0", concurrency_max=AT_ONCE)
class AetherDesk:
    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing

    async def start(self) -> None:
        await asyncio.sleep(START_S)

    @post("/desks/aether")
    async def take(self, wish: Wish) -> Quote:
        return await served(self._pricing, wish)


@slice_(name="desk-hpa", version="1.0.0", concurrency_max=AT_ONCE)
class HpaDesk:
    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing

    async def start(self) -> None:
        await asyncio.sleep(START_S)

    @post("/desks/hpa")
    async def take(self, wish: Wish) -> Quote:
        return await served(self._pricing, wish)


@slice_(name="desk-static", version="1.0.0", concurrency_max=AT_ONCE)
class StaticDesk:
    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing

    async def start(self) -> None:
        await asyncio.sleep(START_S)

    @post("/desks/static")
    async def take(self, wish: Wish) -> Quote:
        return await served(self._pricing, wish)
