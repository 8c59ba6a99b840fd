"""The payment slice: charges an order once, however often it is asked."""

from __future__ import annotations

from typing import Final

from infra.database import Database
from order_domain.model import Contended, OrderConflict, OrderUnknown, Payment, PaymentDeclined
from runtime.sdk import get, idempotent, raises, slice_

LIMIT_CENTS: Final = 1_000_000  # of one charge
DECLINED_CARD: Final = "card-declined"  # what tests and demonstrations use
ATTEMPTS_MAX: Final = 8


@slice_(name="payment", version="1.0.0")
class Payments:
    """Charges and refunds by order."""

    def __init__(self, database: Database) -> None:
        self._payments = database.collection("payments", Payment)

    @idempotent
    @raises(PaymentDeclined, OrderConflict)
    async def charge(self, order_id: str, cents: int, card: str) -> Payment:
        """The order's payment. A second charge of the same order is the first one."""
        if card == DECLINED_CARD:
            raise PaymentDeclined(order_id=order_id, reason="the bank refused the card")
        if cents > LIMIT_CENTS:
            raise PaymentDeclined(order_id=order_id, reason=f"above the limit of {LIMIT_CENTS} cents")
        wanted = Payment(payment_id=f"pay-{order_id}", order_id=order_id, cents=cents, status="charged")
        if await self._payments.compare_and_set(order_id, wanted, revision=0):
            return wanted
        found = await self._payments.get(order_id)
        if found is None or found.value.cents != cents:
            raise OrderConflict(order_id=order_id)
        return found.value

    @idempotent
    @raises(OrderUnknown, Contended)
    async def refund(self, order_id: str) -> Payment:
        for _ in range(ATTEMPTS_MAX):
            found = await self._payments.get(order_id)
            if found is None:
                raise OrderUnknown(order_id=order_id)
            paid = found.value
            if paid.status == "refunded":
                return paid
            after = Payment(payment_id=paid.payment_id, order_id=order_id, cents=paid.cents, status="refunded")
            if await self._payments.compare_and_set(order_id, after, revision=found.revision):
                return after
        raise Contended(item=order_id)

    @idempotent
    @raises(OrderUnknown)
    @get("/orders/{order_id}/payment")
    async def payment(self, order_id: str) -> Payment:
        found = await self._payments.get(order_id)
        if found is None:
            raise OrderUnknown(order_id=order_id)
        return found.value
