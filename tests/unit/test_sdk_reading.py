"""Reading slices into contracts: what is right is written down, what is wrong is refused where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import pytest
from pydantic import BaseModel

from runtime.sdk import (
    DomainError,
    Header,
    Query,
    Response,
    SliceInvalid,
    deadline,
    delete,
    get,
    idempotent,
    post,
    put,
    raises,
    slice_,
    use,
)
from runtime.sdk.bundle import check_together, find_cycle, read_entries
from runtime.sdk.contract import DependencyContract, SliceContract
from runtime.sdk.reading import read_slice
from runtime.sdk.services import service
from runtime.sdk.wiretypes import is_shareable, type_text


class Item(msgspec.Struct, frozen=True):
    sku: str
    quantity: int = 1


class Basket(msgspec.Struct, frozen=True):
    items: list[Item]


@dataclass(frozen=True)
class Receipt:
    number: int


class Note(BaseModel):
    text: str


class Engine:
    """No type of the wire."""


class OutOfStock(DomainError):
    status = 409
    sku: str
    left: int = 0


@service("cache")
class Cache(Protocol):
    async def get(self, key: str) -> bytes | None: ...


class Stock(Protocol):
    async def take(self, item: Item) -> int: ...


@slice_(name="inventory", version="1.0.0")
class Inventory:
    async def take(self, item: Item) -> int:
        return item.quantity


class Settings(msgspec.Struct, frozen=True):
    region: str = "eu"


@slice_(name="orders", version="1.2.0", concurrency_max=10)
class Orders:
    """Takes orders.

    And keeps them.
    """

    def __init__(
        self,
        inventory: Inventory,
        other: Annotated[Stock, use("warehouse")],
        cache: Cache | None,
        config: Settings,
    ) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    @raises(OutOfStock)
    @deadline(ms=2_000)
    @post("/orders", status=201)
    async def place(self, item: Item, tenant: Annotated[str, Header("X-Tenant")] = "none") -> Receipt:
        return Receipt(1)

    @idempotent
    @get("/orders/{order_id}")
    @get("/o/{order_id}")
    async def find(
        self, order_id: int, tags: list[str] | None = None, size: Annotated[int, Query("page-size")] = 10
    ) -> Receipt | None:
        return None

    @delete("/orders/{order_id}")
    async def cancel(self, order_id: int) -> None: ...

    async def annotate(self, note: Note) -> Note:
        return note

    def _private(self) -> None: ...


def test_a_slice_is_read_into_its_contract() -> None:
    contract = read_slice(Orders).contract
    assert (contract.name, contract.version, contract.summary) == ("orders", "1.2.0", "Takes orders.")
    assert contract.concurrency_max == 10
    assert contract.entry.endswith(":Orders")
    place, find, cancel, annotate = contract.methods
    assert [(p.name, p.source, p.wire_name, p.required) for p in place.parameters] == [
        ("item", "body", "", True),
        ("tenant", "header", "x-tenant", False),
    ]
    assert place.deadline_ms == 2_000
    assert place.routes[0].headers == ("x-tenant",)
    assert place.routes[0].status == 201
    assert [(error.code, error.status) for error in place.errors] == [("out_of_stock", 409)]
    assert [(p.name, p.source, p.wire_name) for p in find.parameters] == [
        ("order_id", "path", ""),
        ("tags", "query", "tags"),
        ("size", "query", "page-size"),
    ]
    assert find.idempotent
    assert find.returns == "Receipt | None"
    assert [route.path for route in find.routes] == ["/orders/{order_id}", "/o/{order_id}"]
    assert cancel.routes[0].status == 204
    assert annotate.parameters[0].source == "none"


def test_dependencies_are_named_after_class_marker_and_service() -> None:
    found = {d.parameter: (d.kind, d.name, d.required, d.methods) for d in read_slice(Orders).contract.dependencies}
    assert found == {
        "inventory": ("slice", "inventory", True, ("take",)),
        "other": ("slice", "warehouse", True, ("take",)),
        "cache": ("service", "cache", False, ()),
    }
    assert read_slice(Orders).config is Settings


def test_a_contract_survives_its_way_through_json() -> None:
    contract = read_slice(Orders).contract
    assert msgspec.json.decode(msgspec.json.encode(contract), type=SliceContract) == contract


# Wrong slices. Each names its class's problem and is refused with it.


@slice_(name="wrong", version="1.0.0")
class Untyped:
    async def take(self, item) -> int:  # type: ignore[no-untyped-def]
        return 1


@slice_(name="wrong", version="1.0.0")
class NoReply:
    async def take(self, item: Item):  # type: ignore[no-untyped-def]
        return 1


@slice_(name="wrong", version="1.0.0")
class Synchronous:
    def take(self, item: Item) -> int:
        return 1


@slice_(name="wrong", version="1.0.0")
class Streaming:
    async def take(self) -> AsyncIterator[int]:
        yield 1


@slice_(name="wrong", version="1.0.0")
class Property:
    @property
    def size(self) -> int:
        return 1


@slice_(name="wrong", version="1.0.0")
class Variadic:
    async def take(self, *items: Item) -> None: ...


@slice_(name="wrong", version="1.0.0")
class KeywordOnly:
    async def take(self, *, item: Item) -> None: ...


@slice_(name="wrong", version="1.0.0")
class Foreign:
    async def take(self, engines: list[Engine]) -> None: ...


@slice_(name="wrong", version="1.0.0")
class Anything:
    async def take(self, item: Any) -> None: ...


@slice_(name="wrong", version="1.0.0")
class ForeignReply:
    async def take(self) -> Engine:
        return Engine()


@slice_(name="wrong", version="1.0.0")
class Conflict:
    @get("/a/{x}")
    async def one(self, x: str) -> None: ...

    @get("/a/{y}")
    async def two(self, y: str) -> None: ...


@slice_(name="wrong", version="1.0.0")
class NoMatch:
    @get("/a/{x}")
    async def one(self, y: str) -> None: ...


@slice_(name="wrong", version="1.0.0")
class TwoBodies:
    @post("/a")
    async def one(self, item: Item, other: Item) -> None: ...


@slice_(name="wrong", version="1.0.0")
class BodyOfGet:
    @get("/a")
    async def one(self, item: Item) -> None: ...


@slice_(name="wrong", version="1.0.0")
class FromNowhere:
    @put("/a")
    async def one(self, count: int) -> None: ...


@slice_(name="wrong", version="1.0.0")
class StructuredPath:
    @get("/a/{item}")
    async def one(self, item: Item) -> None: ...


@slice_(name="wrong", version="1.0.0")
class BadPath:
    @get("orders/")
    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class GatewayPath:
    @get("/health/live")
    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class Unresolved:
    async def one(self, thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@slice_(name="wrong", version="1.0.0")
class UnknownDependency:
    def __init__(self, engine: Engine) -> None: ...

    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class UntypedDependency:
    def __init__(self, engine) -> None: ...  # type: ignore[no-untyped-def]

    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class SelfDependency:
    def __init__(self, wrong: Stock) -> None: ...

    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class SynchronousStart:
    def start(self) -> None: ...

    async def one(self) -> None: ...


@slice_(name="Wrong_Name", version="1.0.0")
class BadName:
    async def one(self) -> None: ...


@slice_(name="wrong", version="latest")
class BadVersion:
    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class Empty:
    pass


@slice_(name="wrong", version="1.0.0")
class TooLong:
    @deadline(ms=86_400_000)
    async def one(self) -> None: ...


@slice_(name="wrong", version="1.0.0")
class NoDomainError:
    @raises(ValueError)  # type: ignore[arg-type]
    async def one(self) -> None: ...


@pytest.mark.parametrize(
    ("cls", "part"),
    [
        (Untyped, "parameter item has no type"),
        (NoReply, "does not say what it returns"),
        (Synchronous, "is public but not async"),
        (Streaming, "async generator"),
        (Property, "a property cannot be called"),
        (Variadic, "takes *items"),
        (KeywordOnly, "item is keyword-only"),
        (Foreign, "Engine has no form on the wire"),
        (Anything, "Any cannot be checked"),
        (ForeignReply, "the reply has a type that cannot travel"),
        (Conflict, "is bound by both one and two"),
        (NoMatch, "no parameter has that name"),
        (TwoBodies, "has 2 body parameters"),
        (BodyOfGet, "would be the body of a GET"),
        (FromNowhere, "nothing says where count comes from"),
        (StructuredPath, "path parameter item"),
        (BadPath, "is not a path"),
        (GatewayPath, "belongs to the gateway"),
        (Unresolved, "cannot be resolved"),
        (UnknownDependency, "is an unknown dependency"),
        (UntypedDependency, "engine has no type"),
        (SelfDependency, "dependency cycle"),
        (SynchronousStart, "must be async and take nothing"),
        (BadName, "cannot name a slice"),
        (BadVersion, "is no version"),
        (Empty, "has no public method"),
        (TooLong, "deadline of 86400000 ms"),
        (NoDomainError, "which is no domain error"),
        (Engine, "is not a slice"),
    ],
)
def test_a_wrong_slice_is_refused_with_file_line_and_remedy(cls: type, part: str) -> None:
    with pytest.raises(SliceInvalid) as caught:
        read_slice(cls)
    problem = caught.value.problem()
    assert part in str(caught.value)
    assert problem["remedy"]
    if cls is not Engine:
        assert Path(str(problem["file"])) == Path(__file__)
        assert isinstance(problem["line"], int)
        assert problem["line"] > 0


@slice_(name="shop", version="1.0.0")
class Shop:
    @post("/orders")
    async def place(self, item: Item) -> None: ...


@slice_(name="a", version="1.0.0")
class NeedsB:
    def __init__(self, b: Stock) -> None: ...

    async def take(self, item: Item) -> int:
        return 0


@slice_(name="b", version="1.0.0")
class NeedsA:
    def __init__(self, a: Stock) -> None: ...

    async def take(self, item: Item) -> int:
        return 0


class Counted(Protocol):
    async def count(self) -> int: ...


@slice_(name="c", version="1.0.0")
class WantsCount:
    def __init__(self, inventory: Counted) -> None: ...

    async def one(self) -> None: ...


def test_slices_of_one_artifact_must_fit_together() -> None:
    with pytest.raises(SliceInvalid, match="POST /orders is also bound by slice 'orders'"):
        check_together([read_slice(Orders), read_slice(Shop)])
    with pytest.raises(SliceInvalid, match="dependency cycle: a -> b -> a"):
        check_together([read_slice(NeedsB), read_slice(NeedsA)])
    with pytest.raises(SliceInvalid, match=r"inventory wants inventory\.count"):
        check_together([read_slice(Inventory), read_slice(WantsCount)])
    with pytest.raises(SliceInvalid, match="slice 'inventory' is also"):
        check_together([read_slice(Inventory), read_slice(Inventory)])
    check_together([read_slice(Orders), read_slice(Inventory)])


def test_a_cycle_is_found_however_long_and_optional_calls_do_not_make_one() -> None:
    def contract(name: str, other: str, *, required: bool = True) -> SliceContract:
        dependency = DependencyContract(parameter="p", kind="slice", name=other, required=required)
        return SliceContract(name=name, version="1", entry="m:C", dependencies=(dependency,))

    assert find_cycle([contract("a", "b"), contract("b", "c"), contract("c", "a")]) == ("a", "b", "c", "a")
    assert find_cycle([contract("a", "b"), contract("b", "a", required=False)]) == ()


def test_entries_are_imported_and_a_missing_class_is_refused() -> None:
    with pytest.raises(SliceInvalid, match="names no class"):
        read_entries(["runtime.names:Nothing"])


def test_only_values_that_nobody_can_change_are_shared() -> None:
    assert is_shareable(Item)
    assert is_shareable(tuple[Receipt, ...] | None)
    assert not is_shareable(Basket)
    assert not is_shareable(dict[str, int])
    assert not is_shareable(Note)


def test_types_are_shown_without_their_modules() -> None:
    assert type_text(dict[str, list[Item]]) == "dict[str, list[Item]]"
    assert type_text(Response | None) == "Response | None"
    assert type_text(None) == "None"


def test_domain_errors_carry_their_fields_and_know_their_code() -> None:
    error = OutOfStock(sku="a")
    assert (OutOfStock.code, str(error)) == ("out_of_stock", "out of stock: sku='a', left=0")
    again = OutOfStock.from_fields(msgspec.msgpack.encode(error.fields()))
    assert again.fields() == error.fields()
    with pytest.raises(TypeError, match="missing fields"):
        OutOfStock()  # type: ignore[call-arg]
    with pytest.raises(msgspec.ValidationError):
        OutOfStock.from_fields(msgspec.msgpack.encode({"sku": 1}))
