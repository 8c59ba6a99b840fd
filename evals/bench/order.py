"""The request that every chain carries: two items, about 250 bytes of JSON, typed and validated where it is handled."""

from __future__ import annotations

from typing import Final

import msgspec


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


EXAMPLE: Final = PlaceOrder(
    order_id="order-2f6c0d9a4b",
    customer="customer-7781",
    items=(Item("teapot-cast-iron", 1, 3450), Item("green-tea-first-flush", 4, 690)),
    note="please ring twice, the bell is somewhat shy",
)
BODY: Final = msgspec.json.encode(EXAMPLE)


def place(order: PlaceOrder) -> Placed:
    total = sum(item.quantity * item.unit_cents for item in order.items)
    return Placed(order.order_id, total, len(order.items))
