"""The domain's words: lines, quotes, orders, and what can go wrong with them. Money is in cents."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from runtime.sdk import DomainError

LINES_MAX: Final = 50
QUANTITY_MAX: Final = 1_000
Sku = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$")]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    sku: Sku
    quantity: Quantity


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`order_id` is the client's: sending the same order again gives the same answer and charges nobody twice."""

    order_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{1,64}$")] = ""
    customer: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    card: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    sku: str
    quantity: int
    unit_cents: int
    line_cents: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[QuoteLine, ...]
    total_cents: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str
    customer: str
    status: Literal["placed", "cancelled"]
    quote: Quote
    payment_id: str


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on the shelf and which orders have a share of it."""

    sku: str
    free: int
    reserved: dict[str, int] = {}


class StockLevel(msgspec.Struct, frozen=True, kw_only=True):
    free: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class Price(msgspec.Struct, frozen=True, kw_only=True):
    sku: str
    cents: int


class NewPrice(msgspec.Struct, frozen=True, kw_only=True):
    cents: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    payment_id: str
    order_id: str
    cents: int
    status: Literal["charged", "refunded"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer was told. `message_id` keeps a repeated event from being told twice."""

    message_id: str
    customer: str
    text: str


class SkuUnknown(DomainError):
    status = 404
    sku: str


class QuantityTooLarge(DomainError):
    status = 422
    sku: str
    most: int


class OutOfStock(DomainError):
    status = 409
    sku: str
    wanted: int
    free: int


class PaymentDeclined(DomainError):
    status = 402
    order_id: str
    reason: str


class OrderUnknown(DomainError):
    status = 404
    order_id: str


class OrderConflict(DomainError):
    """The order id stands for another order already."""

    status = 409
    order_id: str


class Contended(DomainError):
    """Too many changes to one item at once; nothing was changed."""

    status = 503
    item: str
