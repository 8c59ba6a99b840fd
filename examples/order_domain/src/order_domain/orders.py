"""The orders slice: takes an order through pricing, stock and payment, and undoes what was done when one refuses."""

from __future__ import annotations

import uuid
from typing import Final

from infra.database import Database
from order_domain.inventory import Inventory
from order_domain.model import (
    QUANTITY_MAX,
    Contended,
    Line,
    Message,
    Order,
    OrderConflict,
    OrderUnknown,
    OutOfStock,
    PaymentDeclined,
    PlaceOrder,
    QuantityTooLarge,
    Quote,
    SkuUnknown,
)
from order_domain.notification import Notification
from order_domain.payment import Payments
from order_domain.pricing import Pricing
from runtime.sdk import get, idempotent, post, raises, slice_

ATTEMPTS_MAX: Final = 8


@slice_(name="orders", version="1.0.0")
class Orders:
    """Orders, from the wish to the receipt."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        pricing: Pricing,
        payment: Payments,
        notification: Notification | None,
    ) -> None:
        self._orders = database.collection("orders", Order)
        self._inventory = inventory
        self._pricing = pricing
        self._payment = payment
        self._notification = notification

    @raises(SkuUnknown, QuantityTooLarge, OutOfStock, PaymentDeclined, OrderConflict, Contended)
    @post("/orders", status=201)
    async def place(self, wish: PlaceOrder) -> Order:
        """The order. With an `order_id` of the client's own it may be sent again: nobody pays twice."""
        lines = merged(wish.lines)
        order_id = wish.order_id or uuid.uuid4().hex
        earlier = await self._orders.get(order_id)
        if earlier is not None:
            return same_order(earlier.value, wish.customer, lines)
        quote = await self._pricing.quote(lines)
        await self._inventory.reserve(order_id, lines)
        try:
            paid = await self._payment.charge(order_id, quote.total_cents, wish.card)
        except (PaymentDeclined, OrderConflict):
            await self._inventory.release(order_id, lines)
            raise
        order = Order(
            order_id=order_id, customer=wish.customer, status="placed", quote=quote, payment_id=paid.payment_id
        )
        if not await self._orders.compare_and_set(order_id, order, revision=0):
            return same_order((await self._found(order_id)), wish.customer, lines)
        await self._tell(order, f"Thank you! Your order {order_id} costs {quote.total_cents / 100:.2f}.")
        return order

    @idempotent
    @raises(OrderUnknown)
    @get("/orders/{order_id}")
    async def show(self, order_id: str) -> Order:
        return await self._found(order_id)

    @idempotent
    @raises(OrderUnknown, Contended)
    @post("/orders/{order_id}/cancel")
    async def cancel(self, order_id: str) -> Order:
        """Refunds it and gives its stock back. Cancelling again changes nothing."""
        for _ in range(ATTEMPTS_MAX):
            found = await self._orders.get(order_id)
            if found is None:
                raise OrderUnknown(order_id=order_id)
            order = found.value
            if order.status == "cancelled":
                return order
            await self._payment.refund(order_id)
            await self._inventory.release(order_id, lines_of(order.quote))
            after = Order(
                order_id=order_id,
                customer=order.customer,
                status="cancelled",
                quote=order.quote,
                payment_id=order.payment_id,
            )
            if await self._orders.compare_and_set(order_id, after, revision=found.revision):
                await self._tell(after, f"Your order {order_id} is cancelled and refunded.")
                return after
        raise Contended(item=order_id)

    async def _found(self, order_id: str) -> Order:
        found = await self._orders.get(order_id)
        if found is None:
            raise OrderUnknown(order_id=order_id)
        return found.value

    async def _tell(self, order: Order, text: str) -> None:
        """An order stands whether or not the customer hears of it."""
        if self._notification is None:
            return
        message = Message(message_id=f"{order.order_id}-{order.status}", customer=order.customer, text=text)
        try:
            await self._notification.tell(message)
        except Exception as error:  # telling is worth less than the order
            print(f"customer of {order.order_id} not told: {error}")


def merged(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """One line for each item, in the order in which they came first. Raises QuantityTooLarge."""
    quantities: dict[str, int] = {}
    for line in lines:
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        if quantities[line.sku] > QUANTITY_MAX:
            raise QuantityTooLarge(sku=line.sku, most=QUANTITY_MAX)
    return tuple(Line(sku=sku, quantity=quantity) for sku, quantity in quantities.items())


def lines_of(quote: Quote) -> tuple[Line, ...]:
    return tuple(Line(sku=line.sku, quantity=line.quantity) for line in quote.lines)


def same_order(earlier: Order, customer: str, lines: tuple[Line, ...]) -> Order:
    """The earlier order if it is the same one. Raises OrderConflict."""
    if earlier.customer != customer or lines_of(earlier.quote) != lines:
        raise OrderConflict(order_id=earlier.order_id)
    return earlier
