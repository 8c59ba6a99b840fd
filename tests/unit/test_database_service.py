"""The database over the inline hosts of several nodes, and its in-memory twin: one contract."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.database import (
    Conflict,
    Database,
    DatabaseUnavailable,
    IndexUnknown,
    ItemTooLarge,
    KeyInvalid,
    QuotaExceeded,
    naming,
)
from infra.database.limits import ITEM_BYTES_MAX, PAGE_BYTES_MAX
from infra.database.memory import MemoryDatabase, OpenedStore
from infra.database.server import READ_AT_ONCE, DatabaseSlice
from infra.database.serving import ItemAddress
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import KEY_BYTES_MAX, GetResult, Put
from tests.unit.service_nodes import DATABASE, ServiceNodes

pytestmark = pytest.mark.anyio


class Order(msgspec.Struct, frozen=True, kw_only=True):
    customer: str
    cents: int = 0
    paid: bool = False
    note: str | None = None


@pytest.fixture
async def nodes() -> ServiceNodes:
    made = ServiceNodes()
    for node in ("n1", "n2"):
        await made.add(node, DATABASE)
    return made


@pytest.fixture(params=["memory", "nodes"])
async def database(request: pytest.FixtureRequest, nodes: ServiceNodes) -> Database:
    return MemoryDatabase(store=nodes.store) if request.param == "memory" else nodes.database("n1")


# The contract.


async def test_an_item_comes_back_with_a_growing_revision(database: Database) -> None:
    orders = database.collection("orders", Order)
    assert await orders.get("o1") is None
    first = await orders.put("o1", Order(customer="ada"))
    second = await orders.put("o1", Order(customer="bob"))
    found = await orders.get("o1")
    assert found is not None
    assert (found.key, found.value, found.revision) == ("o1", Order(customer="bob"), second)
    assert second > first > 0


async def test_compare_and_set_changes_only_what_still_stands(database: Database) -> None:
    orders = database.collection("orders", Order, indexes=("customer",))
    assert await orders.compare_and_set("o1", Order(customer="ada"), revision=0)
    assert not await orders.compare_and_set("o1", Order(customer="eve"), revision=0)
    found = await orders.get("o1")
    assert found is not None
    assert await orders.compare_and_set("o1", Order(customer="bob"), revision=found.revision)
    assert not await orders.compare_and_set("o1", Order(customer="eve"), revision=found.revision)
    assert not await orders.compare_and_set("o2", Order(customer="eve"), revision=found.revision)
    assert [item.key for item in await orders.query("customer", "bob")] == ["o1"]
    assert len(await orders.query("customer", "eve")) == 0


async def test_a_deleted_item_is_gone_from_its_indexes(database: Database) -> None:
    orders = database.collection("orders", Order, indexes=("customer",))
    revision = await orders.put("o1", Order(customer="ada"))
    assert not await orders.delete("o1", revision=revision + 1)
    assert await orders.delete("o1", revision=revision)
    assert not await orders.delete("o1")
    assert not await orders.delete("")
    assert len(await orders.query("customer", "ada")) == 0


async def test_a_query_gives_pages_in_the_order_of_keys(database: Database) -> None:
    orders = database.collection("orders", Order, indexes=("customer", "paid", "cents", "note"))
    for number in range(25):
        await orders.put(f"o{number:02}", Order(customer="ada/ä b", cents=number % 2, paid=number < 5))
    keys: list[str] = []
    after = ""
    for _ in range(3):
        page = await orders.query("customer", "ada/ä b", limit=10, after=after)
        keys += [item.key for item in page]
        after = page.after
    assert keys == [f"o{number:02}" for number in range(25)]
    assert after == ""
    assert len(await orders.query("paid", value=True)) == 5
    assert len(await orders.query("cents", 1)) == 12
    assert len(await orders.query("cents", "1")) == 0
    assert len(await orders.query("note", None)) == 25


async def test_a_page_of_large_items_ends_early_and_the_next_goes_on(database: Database) -> None:
    """Two hundred items of 64 KiB would be 12 MiB in one reply."""
    orders = database.collection("orders", Order, indexes=("customer",))
    for number in range(128):
        await orders.put(f"o{number:03}", Order(customer="ada", note="n" * 65_000))
    first = await orders.query("customer", "ada", limit=200)
    second = await orders.query("customer", "ada", limit=200, after=first.after)
    assert sum(len(item.value.note or "") for item in first) <= PAGE_BYTES_MAX + READ_AT_ONCE * ITEM_BYTES_MAX
    assert [item.key for item in (*first, *second)] == [f"o{number:03}" for number in range(128)]
    assert (len(first) < 128, second.after) == (True, "")


async def test_bad_keys_and_big_items_are_refused_by_name(database: Database) -> None:
    orders = database.collection("orders", Order, indexes=("customer",))
    for key in ("", "k" * 201, "\ud800"):
        with pytest.raises(KeyInvalid):
            await orders.put(key, Order(customer="ada"))
        assert await orders.get(key) is None
    with pytest.raises(KeyInvalid):
        await orders.put("o1", Order(customer="c" * 200))
    with pytest.raises(ItemTooLarge) as refused:
        await orders.put("o1", Order(customer="ada", note="n" * 65_536))
    assert refused.value.size_max == 65_536
    with pytest.raises(IndexUnknown):
        await orders.query("cents", 1)
    with pytest.raises(ValueError, match="a page has"):
        await orders.query("customer", "ada", limit=0)
    for name in ("Orders", "a!b", "a/b", ""):
        with pytest.raises(ValueError, match="can name no collection"):
            database.collection(name, Order)


async def test_a_full_slice_is_told_so_and_can_delete(database: Database) -> None:
    notes = database.collection("notes", str)
    with pytest.raises(QuotaExceeded):
        for number in range(300):
            await notes.put(f"n{number}", "x" * 65_000)
    assert await notes.get("n0") is not None
    assert await notes.delete("n0")
    await notes.put("small", "x")


async def test_without_a_majority_the_database_says_so(database: Database, nodes: ServiceNodes) -> None:
    orders = database.collection("orders", Order)
    nodes.store.engine.quorum = False
    with pytest.raises(DatabaseUnavailable) as refused:
        await orders.put("o1", Order(customer="ada"))
    assert refused.value.retryable
    assert not refused.value.may_have_applied
    with pytest.raises(DatabaseUnavailable):
        await orders.get("o1")


# Several nodes.


async def test_slices_have_collections_of_their_own(nodes: ServiceNodes) -> None:
    await nodes.database("n1").collection("orders", Order).put("o1", Order(customer="ada"))
    assert await nodes.database("n2").collection("orders", Order).get("o1") is not None
    assert await nodes.database("n1", "other").collection("orders", Order).get("o1") is None
    assert await nodes.database("n1").collection("orders2", Order).get("o1") is None


async def test_a_change_whose_reply_was_lost_says_that_it_may_have_been_made(nodes: ServiceNodes) -> None:
    """Repeating compare_and_set is safe; a second put is the slice's decision."""
    orders = nodes.database("n1").collection("orders", Order)
    nodes.lose_replies = 1
    with pytest.raises(DatabaseUnavailable) as lost:
        await orders.compare_and_set("o1", Order(customer="ada"), revision=0)
    assert lost.value.may_have_applied
    assert not await orders.compare_and_set("o1", Order(customer="ada"), revision=0)
    nodes.lose_replies = 1
    with pytest.raises(DatabaseUnavailable) as lost:
        await orders.get("o1")
    assert not lost.value.may_have_applied


async def test_a_gateway_that_is_still_starting_is_waited_for(nodes: ServiceNodes) -> None:
    """A slice may write in its start(), before the first routing table."""
    host = nodes.hosts.pop("n1")
    orders = nodes.database("n1").collection("orders", Order)
    tried = 0

    class Late(dict[str, object]):
        def __contains__(self, key: object) -> bool:
            nonlocal tried
            tried += 1
            return tried > 2

    nodes.hosts = Late(n1=host)  # type: ignore[assignment]  # a dict that holds its node back at first
    assert await orders.compare_and_set("o1", Order(customer="ada"), revision=0)
    assert tried == 3


# The server part alone.


class Contested(MemoryStore):
    """Another client changes the item after each read."""

    async def get(self, key: str, *, stale_ok: bool = False) -> GetResult:
        seen = await super().get(key, stale_ok=stale_ok)
        if seen.item is not None:
            await super().txn((), [Put(key=key, value=seen.item.value)])
        return seen


async def test_an_item_that_others_keep_changing_is_a_conflict() -> None:
    server = DatabaseSlice(OpenedStore(Contested()))
    address = ItemAddress("shop", "orders", "o1")
    await server.put(address, b"1", {})
    with pytest.raises(Conflict):
        await server.put(address, b"2", {})
    with pytest.raises(Conflict):
        await server.delete(address, -1)


async def test_a_worker_cannot_reach_past_its_collections() -> None:
    """Whatever it sends, the keys it touches stand below database/{slice}/."""
    server = DatabaseSlice(OpenedStore(MemoryStore()))
    for address in (
        ItemAddress("shop/../node", "orders", "o1"),
        ItemAddress("shop", "orders/x", "o1"),
        ItemAddress("shop", "orders!customer", "o1"),
        ItemAddress("", "orders", "o1"),
    ):
        with pytest.raises(KeyInvalid):
            await server.put(address, b"1", {})
    with pytest.raises(KeyInvalid):
        await server.put(ItemAddress("shop", "orders", "o1"), b"1", {"a/b": "s"})


TEXT = st.text(min_size=1, max_size=40)


@given(TEXT, st.text(max_size=40))
def test_names_of_items_and_entries_lead_back_to_the_key(key: str, value: str) -> None:
    """And no two of them meet: a stray slash would file an item elsewhere."""
    try:
        item = naming.item_key("s" * 63, "c" * 40, key)
        below = naming.entries_below("s" * 63, "c" * 40, "i" * 40, naming.index_text(value))
    except KeyInvalid:
        return
    entry = below + naming.escaped_key(key)
    assert naming.key_of(item) == naming.key_of(entry) == key
    assert item.count("/") == 3
    assert entry.count("/") == 4
    assert len(entry.encode()) <= KEY_BYTES_MAX


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "cas", "stale", "delete"]), st.sampled_from("abc"), st.sampled_from("xyz")),
    max_size=25,
)


@given(STEPS)
async def test_indexes_always_agree_with_the_items(steps: list[tuple[str, str, str]]) -> None:
    database = MemoryDatabase()
    orders = database.collection("orders", Order, indexes=("customer",))
    model: dict[str, str] = {}
    for what, key, customer in steps:
        found = await orders.get(key)
        revision = found.revision if found is not None else 0
        if what == "put":
            await orders.put(key, Order(customer=customer))
            model[key] = customer
        elif what == "cas":
            assert await orders.compare_and_set(key, Order(customer=customer), revision=revision)
            model[key] = customer
        elif what == "stale":
            assert not await orders.compare_and_set(key, Order(customer=customer), revision=revision + 1_000)
        else:
            assert await orders.delete(key) == (model.pop(key, None) is not None)
    for customer in "xyz":
        page = await orders.query("customer", customer)
        assert [item.key for item in page] == sorted(key for key, owner in model.items() if owner == customer)
    kept = (await database.store.range("database/")).items
    assert len(kept) == 2 * len(model), "an index entry stayed behind, or is missing"
