"""The pricing slice: what a list of lines costs."""

from __future__ import annotations

from typing import Final

from infra.cache import Cache
from infra.database import Database
from order_domain.model import Line, NewPrice, Price, Quote, QuoteLine, SkuUnknown
from runtime.sdk import get, idempotent, put, raises, slice_

HOT_S: Final = 2.0  # a new price is in force everywhere after this
PRICES: Final = {"mug": 1_290, "teapot": 3_450, "green-tea": 690, "black-tea": 590}  # cents, of a new shop
BULK_FROM: Final = 10  # pieces of one item
BULK_PERCENT: Final = 10


@slice_(name="pricing", version="1.0.0")
class Pricing:
    """Prices by SKU, and quotes."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._prices = database.collection("prices", Price)
        self._hot = cache

    async def start(self) -> None:
        """Prices of a new shop; one that is there already stays."""
        for sku, cents in PRICES.items():
            await self._prices.compare_and_set(sku, Price(sku=sku, cents=cents), revision=0)

    @idempotent
    @put("/prices/{sku}")
    async def set_price(self, sku: str, price: NewPrice) -> Price:
        new = Price(sku=sku, cents=price.cents)
        await self._prices.put(sku, new)
        await self._hot.delete(sku)
        return new

    @idempotent
    @raises(SkuUnknown)
    @get("/prices/{sku}")
    async def price(self, sku: str) -> Price:
        """At most two seconds old."""
        hot = await self._hot.get(sku, Price)
        if hot is not None:
            return hot
        found = await self._prices.get(sku)
        if found is None:
            raise SkuUnknown(sku=sku)
        await self._hot.put(sku, found.value, ttl_s=HOT_S)
        return found.value

    @idempotent
    @raises(SkuUnknown)
    async def quote(self, lines: tuple[Line, ...]) -> Quote:
        prices = {line.sku: (await self.price(line.sku)).cents for line in lines}
        return quoted(lines, prices)


def quoted(lines: tuple[Line, ...], cents: dict[str, int]) -> Quote:
    """The lines with their prices, rounded down where the bulk discount leaves a part of a cent."""
    rows = tuple(
        QuoteLine(
            sku=line.sku,
            quantity=line.quantity,
            unit_cents=cents[line.sku],
            line_cents=discounted(cents[line.sku] * line.quantity, line.quantity),
        )
        for line in lines
    )
    return Quote(lines=rows, total_cents=sum(row.line_cents for row in rows))


def discounted(cents: int, quantity: int) -> int:
    return cents * (100 - BULK_PERCENT) // 100 if quantity >= BULK_FROM else cents
