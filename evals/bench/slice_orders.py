"""The benchmark's slice: the same typed order that the other chains carry. Copied into a project of its own."""

from __future__ import annotations

import msgspec

from runtime.sdk import post, slice_


class Item(msgspec.Struct, frozen=True):
    sku: str
    quantity: int
    unit_cents: int


class PlaceOrder(msgspec.Struct, frozen=True):
    order_id: str
    customer: str
    items: tuple[Item, ...]
    note: str = ""


class Placed(msgspec.Struct, frozen=True):
    order_id: str
    total_cents: int
    lines: int


@slice_(name="bench-orders", version="1.0.0")
class BenchOrders:
    """Adds up an order."""

    @post("/bench/orders")
    async def place(self, order: PlaceOrder) -> Placed:
        total = sum(item.quantity * item.unit_cents for item in order.items)
        return Placed(order.order_id, total, len(order.items))
