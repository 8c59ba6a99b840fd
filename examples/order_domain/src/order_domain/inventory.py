"""The inventory slice: what is on the shelf, and whose share of it is whose."""

from __future__ import annotations

from typing import Final

from infra.database import Database, Found
from order_domain.model import Contended, Line, OutOfStock, SkuUnknown, Stock, StockLevel
from runtime.sdk import get, idempotent, put, raises, slice_

ATTEMPTS_MAX: Final = 16  # orders for one item at once; each round one of them gets through
RESERVATIONS_MAX: Final = 128  # the newest of each item, about 6 KiB; older ones count as shipped and stay taken
SHELF: Final = {"mug": 500, "teapot": 200, "green-tea": 1_000, "black-tea": 1_000}  # a new shop's first delivery


@slice_(name="inventory", version="1.0.0")
class Inventory:
    """Stock by SKU, with reservations by order."""

    def __init__(self, database: Database) -> None:
        self._stock = database.collection("stock", Stock)

    async def start(self) -> None:
        """Fills an empty shelf once; an item that is there already stays as it is."""
        for sku, free in SHELF.items():
            await self._stock.compare_and_set(sku, Stock(sku=sku, free=free), revision=0)

    @idempotent
    @raises(SkuUnknown)
    @get("/inventory/{sku}")
    async def level(self, sku: str) -> Stock:
        return (await self._found(sku)).value

    @idempotent
    @raises(Contended)
    @put("/inventory/{sku}")
    async def stock_up(self, sku: str, level: StockLevel) -> Stock:
        """Sets what is free; reservations stay."""
        for _ in range(ATTEMPTS_MAX):
            found = await self._stock.get(sku)
            reserved = found.value.reserved if found is not None else {}
            stock = Stock(sku=sku, free=level.free, reserved=reserved)
            if await self._stock.compare_and_set(sku, stock, revision=found.revision if found is not None else 0):
                return stock
        raise Contended(item=sku)

    @idempotent
    @raises(SkuUnknown, OutOfStock, Contended)
    async def reserve(self, order_id: str, lines: tuple[Line, ...]) -> None:
        """All lines or none. Reserving again for the same order changes nothing."""
        done: list[Line] = []
        try:
            for line in lines:
                await self._reserve(order_id, line)
                done.append(line)
        except (SkuUnknown, OutOfStock, Contended):
            await self.release(order_id, tuple(done))
            raise

    @idempotent
    @raises(Contended)
    async def release(self, order_id: str, lines: tuple[Line, ...]) -> None:
        """Gives back what the order has of those items, unless it counts as shipped."""
        for line in lines:
            await self._release(order_id, line.sku)

    async def _reserve(self, order_id: str, line: Line) -> None:
        for _ in range(ATTEMPTS_MAX):
            found = await self._found(line.sku)
            stock = found.value
            if order_id in stock.reserved:
                return
            if stock.free < line.quantity:
                raise OutOfStock(sku=line.sku, wanted=line.quantity, free=stock.free)
            after = take(stock, order_id, line.quantity)
            if await self._stock.compare_and_set(line.sku, after, revision=found.revision):
                return
        raise Contended(item=line.sku)

    async def _release(self, order_id: str, sku: str) -> None:
        for _ in range(ATTEMPTS_MAX):
            found = await self._stock.get(sku)
            if found is None or order_id not in found.value.reserved:
                return
            reserved = dict(found.value.reserved)
            free = found.value.free + reserved.pop(order_id)
            after = Stock(sku=sku, free=free, reserved=reserved)
            if await self._stock.compare_and_set(sku, after, revision=found.revision):
                return
        raise Contended(item=sku)

    async def _found(self, sku: str) -> Found[Stock]:
        found = await self._stock.get(sku)
        if found is None:
            raise SkuUnknown(sku=sku)
        return found


def take(stock: Stock, order_id: str, quantity: int) -> Stock:
    """The item with that reservation as its newest."""
    kept = list(stock.reserved.items())[-(RESERVATIONS_MAX - 1) :]
    return Stock(sku=stock.sku, free=stock.free - quantity, reserved=dict([*kept, (order_id, quantity)]))
