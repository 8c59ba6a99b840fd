"""Slices run in the test's process behave as they would in the cluster."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
import pytest
from pydantic import BaseModel

from runtime.hosting.errors import ArgumentsInvalid, CallFailed, InstanceFailed
from runtime.invocation.errors import DeadlineExceeded, NotStarted
from runtime.sdk import (
    DomainError,
    Header,
    Response,
    current_call,
    deadline,
    delete,
    get,
    post,
    put,
    raises,
    redirect,
    slice_,
)
from runtime.sdk.errors import NoCall
from runtime.sdk.testing import http, logged, running

pytestmark = pytest.mark.anyio


class Item(msgspec.Struct, frozen=True):
    sku: str
    quantity: int = 1


class Basket(msgspec.Struct):
    items: list[Item]


@dataclass(frozen=True)
class Receipt:
    number: int
    tenant: str = ""


class Note(BaseModel):
    text: str
    stars: int = 0


class OutOfStock(DomainError):
    status = 409
    sku: str


class Undeclared(DomainError):
    status = 410


class Stock(Protocol):
    @raises(OutOfStock)
    async def take(self, item: Item) -> int: ...

    async def pack(self, basket: Basket) -> Basket: ...


class Settings(msgspec.Struct, frozen=True):
    region: str = "eu"


@slice_(name="orders", version="1.0.0", concurrency_max=2)
class Orders:
    def __init__(self, stock: Stock, config: Settings) -> None:
        self.stock = stock
        self.config = config
        self.started = False
        self.gate = asyncio.Event()

    async def start(self) -> None:
        self.started = True

    @raises(OutOfStock)
    @post("/orders", status=201)
    async def place(self, item: Item, tenant: Annotated[str, Header("X-Tenant")] = "none") -> Receipt:
        return Receipt(await self.stock.take(item), tenant)

    @get("/orders/{number}")
    async def find(self, number: int, size: int = 10, tags: list[str] | None = None) -> list[str] | None:
        return [str(number + size), *(tags or [])] if number else None

    @delete("/orders/{number}")
    async def cancel(self, number: int) -> None: ...

    @put("/notes")
    async def annotate(self, note: Note) -> Note:
        return Note(text=note.text.upper(), stars=note.stars)

    @post("/raw")
    async def raw(self, body: bytes) -> bytes:
        return body[::-1]

    @get("/go/{code}")
    async def go(self, code: str) -> Response:
        return redirect(f"https://example.org/{code}")

    async def pack(self, basket: Basket) -> Basket:
        return await self.stock.pack(basket)

    @get("/leak")
    async def leak(self) -> int:
        raise RuntimeError("the password is swordfish")

    @get("/lie")
    async def lie(self) -> int:
        return "seven"  # type: ignore[return-value]

    @get("/exit")
    async def leave(self) -> int:
        sys.exit(3)

    @get("/undeclared")
    async def undeclared(self) -> int:
        raise Undeclared()

    async def wait(self) -> str:
        await self.gate.wait()
        return "released"

    async def release(self) -> None:
        self.gate.set()

    @deadline(ms=20)
    async def forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    @get("/who")
    async def who(self) -> str:
        return f"{current_call().request_id}/{self.config.region}/{self.started}"


class FakeStock:
    def __init__(self) -> None:
        self.baskets: list[Basket] = []

    async def take(self, item: Item) -> int:
        if item.sku == "none":
            raise OutOfStock(sku=item.sku)
        return item.quantity

    async def pack(self, basket: Basket) -> Basket:
        self.baskets.append(basket)
        return basket


async def test_a_slice_with_a_fake_is_called_like_the_class_itself() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        assert await orders.place(Item("a", 3)) == Receipt(3, "none")
        assert await orders.place(item=Item("a"), tenant="t") == Receipt(1, "t")
        assert await orders.find(0) is None
        assert (await orders.annotate(Note(text="hi"))).text == "HI"


async def test_config_and_start_come_before_the_first_call() -> None:
    async with running(Orders, stock=FakeStock(), config=Settings(region="us")) as orders:
        assert (await orders.who()).endswith("/us/True")
    with pytest.raises(NoCall):
        current_call()


async def test_domain_errors_cross_two_slices_as_themselves() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(OutOfStock) as caught:
            await orders.place(Item("none"))
        assert caught.value.sku == "none"


async def test_values_that_can_change_are_copied_on_both_ways() -> None:
    fake = FakeStock()
    async with running(Orders, stock=fake) as orders:
        mine = Basket([Item("a")])
        back = await orders.pack(mine)
        assert back == mine
        assert back is not mine
        assert fake.baskets[0] is not mine


async def test_wrong_arguments_are_refused_before_the_method_runs() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(ArgumentsInvalid, match="Expected `object`, got `int`"):
            await orders.place(3)  # type: ignore[arg-type]
        with pytest.raises(ArgumentsInvalid, match="missing a required argument"):
            await orders.place()  # type: ignore[call-arg]
        with pytest.raises(ArgumentsInvalid):
            await orders.place(object())  # type: ignore[arg-type]


async def test_an_internal_error_shows_a_correlation_id_and_nothing_else() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(CallFailed) as caught:
            await orders.leak()
        assert "password" not in str(caught.value)
        line = logged(orders)[-1]
        assert line.fields["correlation_id"] == caught.value.correlation_id
        assert "the password is swordfish" in str(line.fields["error"])


async def test_a_wrong_reply_type_is_an_internal_error_that_the_log_names() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(CallFailed):
            await orders.lie()
        assert "lie returned str where it declares int" in str(logged(orders)[-1].fields["error"])
        assert (await http(orders, "GET", "/lie")).status == 500


async def test_sys_exit_and_undeclared_errors_end_the_call_alone() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(CallFailed):
            await orders.leave()
        with pytest.raises(CallFailed):
            await orders.undeclared()
        assert await orders.find(0) is None


async def test_calls_beyond_the_limit_are_refused_at_once() -> None:
    async with running(Orders, stock=FakeStock()) as orders, asyncio.TaskGroup() as group:
        waiting = [group.create_task(orders.wait())]
        await asyncio.sleep(0)
        assert await orders.find(0) is None  # one place left
        waiting.append(group.create_task(orders.wait()))
        await asyncio.sleep(0)
        with pytest.raises(NotStarted):
            await orders.find(0)
        for task in waiting:
            task.cancel()


async def test_a_method_ends_at_its_own_deadline() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        with pytest.raises(DeadlineExceeded):
            await orders.forever()


async def test_http_requests_become_typed_arguments() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        placed = await http(orders, "POST", "/orders", json={"sku": "a", "quantity": 2}, headers={"X-Tenant": "t"})
        assert (placed.status, placed.json()) == (201, {"number": 2, "tenant": "t"})
        found = await http(orders, "GET", "/orders/5?size=1&tags=x&tags=y")
        assert found.json() == ["6", "x", "y"]
        assert (await http(orders, "DELETE", "/orders/5")).status == 204
        assert (await http(orders, "POST", "/raw", body=b"abc")).body == b"cba"
        assert (await http(orders, "PUT", "/notes", json={"text": "a"})).json() == {"text": "A", "stars": 0}
        moved = await http(orders, "GET", "/go/x")
        assert (moved.status, moved.headers["location"]) == (302, "https://example.org/x")


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "code"),
    [
        ("POST", "/orders", b'{"sku": 3}', 422, "invalid_arguments"),
        ("POST", "/orders", b"{", 400, "malformed_body"),
        ("POST", "/orders", b"\xff\xfe", 400, "malformed_body"),
        ("POST", "/orders", b'{"sku": "\xff"}', 400, "malformed_body"),
        ("POST", "/orders", b"", 400, "malformed_body"),
        ("POST", "/orders", b'{"sku": "none"}', 409, "out_of_stock"),
        ("GET", "/orders/five", b"", 422, "invalid_arguments"),
        ("GET", "/orders/5?size=big", b"", 422, "invalid_arguments"),
        ("GET", "/orders/5?size=%ff", b"", 422, "invalid_arguments"),
        ("PUT", "/notes", b'{"stars": 1}', 422, "invalid_arguments"),
        ("GET", "/leak", b"", 500, "internal"),
        ("GET", "/exit", b"", 500, "internal"),
    ],
)
async def test_http_failures_are_problem_documents(verb: str, path: str, body: bytes, status: int, code: str) -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        answer = await http(orders, verb, path, body=body)
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
        assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["request_id"]
        assert b"swordfish" not in answer.body


async def test_a_domain_error_brings_its_fields_to_http() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        answer = await http(orders, "POST", "/orders", json={"sku": "none"})
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
        assert problem["fields"] == {"sku": "none"}


async def test_unknown_routes_and_verbs_are_told_apart() -> None:
    async with running(Orders, stock=FakeStock()) as orders:
        assert (await http(orders, "GET", "/nothing")).status == 404
        assert (await http(orders, "POST", "/leak")).status == 405


@slice_(name="brittle", version="1.0.0")
class Brittle:
    async def start(self) -> None:
        raise ValueError("no disk")

    async def one(self) -> None: ...


async def test_a_failing_start_says_why_and_where() -> None:
    with pytest.raises(InstanceFailed, match=r"its start\(\) raised ValueError: no disk \(unit/test_sdk_testing"):
        async with running(Brittle):
            pass


async def test_missing_and_unknown_fakes_are_named() -> None:
    with pytest.raises(TypeError, match="needs stock"):
        async with running(Orders):
            pass
    with pytest.raises(TypeError, match="no dependency 'stok'"):
        async with running(Orders, stok=FakeStock()):
            pass
    with pytest.raises(TypeError, match="has no method take"):
        async with running(Orders, stock=object()):
            pass
