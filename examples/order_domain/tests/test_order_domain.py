"""All five slices in this process, called as the cluster would call them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_domain.inventory import RESERVATIONS_MAX, Inventory, take
from order_domain.model import (
    Line,
    NewPrice,
    OrderConflict,
    OutOfStock,
    PaymentDeclined,
    PlaceOrder,
    QuantityTooLarge,
    SkuUnknown,
    Stock,
    StockLevel,
)
from order_domain.notification import Notification
from order_domain.orders import Orders, merged
from order_domain.payment import DECLINED_CARD, Payments
from order_domain.pricing import BULK_FROM, Pricing, quoted

from infra.cache.memory import MemoryCache
from infra.database.memory import MemoryDatabase
from runtime.sdk.testing import http, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Shop:
    orders: Orders
    inventory: Inventory
    pricing: Pricing
    payment: Payments
    notification: Notification


@asynccontextmanager
async def shop(notification: object = None) -> AsyncIterator[Shop]:
    async with (
        running(Inventory, database=MemoryDatabase("inventory")) as inventory,
        running(Pricing, database=MemoryDatabase("pricing"), cache=MemoryCache()) as pricing,
        running(Payments, database=MemoryDatabase("payment")) as payment,
        running(Notification, database=MemoryDatabase("notification")) as telling,
        running(
            Orders,
            database=MemoryDatabase("orders"),
            inventory=inventory,
            pricing=pricing,
            payment=payment,
            notification=notification or telling,
        ) as orders,
    ):
        yield Shop(orders, inventory, pricing, payment, telling)


def wish(order_id: str = "o-1", *, mugs: int = 2, card: str = "card-1") -> PlaceOrder:
    return PlaceOrder(order_id=order_id, customer="ada", lines=(Line(sku="mug", quantity=mugs),), card=card)


async def test_an_order_is_priced_reserved_paid_and_told() -> None:
    async with shop() as it:
        order = await it.orders.place(wish())
        assert (order.status, order.quote.total_cents, order.payment_id) == ("placed", 2580, "pay-o-1")
        assert (await it.inventory.level("mug")).reserved == {"o-1": 2}
        assert (await it.payment.payment("o-1")).cents == 2580
        assert [message.message_id for message in await it.notification.messages("ada")] == ["o-1-placed"]


async def test_an_order_sent_again_is_the_same_order() -> None:
    """Clients repeat what they got no answer to; nobody may pay twice for that."""
    async with shop() as it:
        assert await it.orders.place(wish()) == await it.orders.place(wish())
        assert (await it.inventory.level("mug")).free == 498
        with pytest.raises(OrderConflict):
            await it.orders.place(wish(mugs=3))


async def test_a_declined_payment_gives_the_stock_back() -> None:
    async with shop() as it:
        with pytest.raises(PaymentDeclined) as declined:
            await it.orders.place(wish(card=DECLINED_CARD))
        assert declined.value.order_id == "o-1"
        stock = await it.inventory.level("mug")
        assert (stock.free, stock.reserved) == (500, {})


async def test_an_empty_shelf_refuses_the_whole_order() -> None:
    async with shop() as it:
        await it.inventory.stock_up("teapot", StockLevel(free=1))
        lines = (Line(sku="mug", quantity=1), Line(sku="teapot", quantity=2))
        with pytest.raises(OutOfStock) as refused:
            await it.orders.place(PlaceOrder(order_id="o-1", customer="ada", lines=lines, card="card-1"))
        assert (refused.value.sku, refused.value.wanted, refused.value.free) == ("teapot", 2, 1)
        assert (await it.inventory.level("mug")).free == 500


async def test_a_cancelled_order_is_refunded_and_its_stock_is_free_again() -> None:
    async with shop() as it:
        await it.orders.place(wish())
        assert (await it.orders.cancel("o-1")).status == "cancelled"
        assert (await it.orders.cancel("o-1")).status == "cancelled"
        assert (await it.payment.payment("o-1")).status == "refunded"
        assert (await it.inventory.level("mug")).free == 500


async def test_an_order_stands_although_nobody_could_be_told() -> None:
    class Away:
        async def tell(self, message: object) -> None:
            raise RuntimeError("away")

        async def messages(self, customer: str) -> list[str]:
            return []

    async with shop(Away()) as it:
        assert (await it.orders.place(wish())).status == "placed"


async def test_http_shows_domain_errors_as_problems_with_their_fields() -> None:
    async with shop() as it:
        body = {"customer": "ada", "lines": [{"sku": "spoon", "quantity": 1}], "card": "card-1"}
        answer = await http(it.orders, "POST", "/orders", json=body)
        assert answer.status == 404
        problem = answer.json()
        assert isinstance(problem, dict)
        assert (problem["code"], problem["fields"]) == ("sku_unknown", {"sku": "spoon"})
        for wrong in (
            {},
            {**body, "lines": []},
            {**body, "customer": "A B"},
            {**body, "lines": [{"sku": "mug", "quantity": 0}]},
        ):
            assert (await http(it.orders, "POST", "/orders", json=wrong)).status == 422


async def test_a_new_price_is_seen_at_once_where_it_was_set() -> None:
    async with shop() as it:
        await it.pricing.price("mug")
        await it.pricing.set_price("mug", NewPrice(cents=1490))
        assert (await it.pricing.price("mug")).cents == 1490
        with pytest.raises(SkuUnknown):
            await it.pricing.price("spoon")


async def test_stock_that_is_there_already_survives_another_start() -> None:
    database = MemoryDatabase()
    async with running(Inventory, database=database) as inventory:
        await inventory.stock_up("mug", StockLevel(free=7))
    async with running(Inventory, database=database) as inventory:
        assert (await inventory.level("mug")).free == 7


line = st.builds(Line, sku=st.sampled_from(("mug", "teapot")), quantity=st.integers(1, 400))


@given(st.lists(line, min_size=1, max_size=5))
def test_merging_lines_keeps_every_piece(given_lines: list[Line]) -> None:
    wanted: dict[str, int] = {}
    for line in given_lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    if max(wanted.values()) > 1000:
        with pytest.raises(QuantityTooLarge):
            merged(tuple(given_lines))
    else:
        assert {line.sku: line.quantity for line in merged(tuple(given_lines))} == wanted


@given(st.integers(1, 100_000), st.integers(1, 1000))
def test_a_bulk_order_never_costs_more(cents: int, quantity: int) -> None:
    total = quoted((Line(sku="mug", quantity=quantity),), {"mug": cents}).total_cents
    assert total <= cents * quantity
    assert (total < cents * quantity) == (quantity >= BULK_FROM)


@given(st.integers(1, 300))
def test_an_item_keeps_its_newest_reservations_and_counts_all(orders: int) -> None:
    stock = Stock(sku="mug", free=1000)
    for number in range(orders):
        stock = take(stock, f"o-{number}", 1)
    assert stock.free == 1000 - orders
    assert len(stock.reserved) == min(orders, RESERVATIONS_MAX)
    assert f"o-{orders - 1}" in stock.reserved
