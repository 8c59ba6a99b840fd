"""The cache over several nodes, and its in-memory twin: one contract."""

from __future__ import annotations

import msgspec
import pytest

from infra.cache import Cache, CacheKeyInvalid, CacheValueTooLarge, TtlInvalid
from infra.cache.memory import MemoryCache
from infra.cache.placement import keepers
from tests.unit.service_nodes import CACHE, ServiceNodes

pytestmark = pytest.mark.anyio


class Price(msgspec.Struct, frozen=True):
    sku: str
    cents: int


async def three() -> ServiceNodes:
    made = ServiceNodes()
    for node in ("n1", "n2", "n3"):
        await made.add(node, CACHE)
    return made


@pytest.fixture
async def nodes() -> ServiceNodes:
    return await three()


@pytest.fixture(params=["memory", "nodes"])
async def cache(request: pytest.FixtureRequest, nodes: ServiceNodes) -> Cache:
    return MemoryCache() if request.param == "memory" else nodes.cache("n1")


# The contract.


async def test_what_was_put_is_got_with_its_type(cache: Cache) -> None:
    assert await cache.put("tea", Price("tea", 250))
    assert await cache.get("tea", Price) == Price("tea", 250)
    assert await cache.put("raw", b"\x00\xff")
    assert await cache.get("raw") == b"\x00\xff"


async def test_a_missing_key_and_a_value_of_another_shape_are_misses(cache: Cache) -> None:
    """A new version of a slice must not fail on what an old one cached."""
    assert await cache.get("nothing") is None
    await cache.put("tea", {"name": "tea"})
    assert await cache.get("tea", Price) is None


async def test_a_deleted_key_is_gone(cache: Cache) -> None:
    await cache.put("tea", b"1")
    assert await cache.delete("tea")
    assert await cache.get("tea") is None
    assert await cache.delete("tea")


async def test_limits_are_refused_by_name(cache: Cache) -> None:
    with pytest.raises(CacheKeyInvalid):
        await cache.put("", b"1")
    with pytest.raises(CacheKeyInvalid):
        await cache.put("k" * 513, b"1")
    with pytest.raises(CacheValueTooLarge):
        await cache.put("big", b"1" * 1_048_577)
    for ttl_s in (0.0, -1.0, 1e9, float("nan"), float("inf")):
        with pytest.raises(TtlInvalid):
            await cache.put("tea", b"1", ttl_s=ttl_s)
    assert await cache.get("k" * 513) is None
    assert await cache.get("\ud800") is None


async def test_a_value_is_computed_once_and_then_found(cache: Cache) -> None:
    computed = []

    async def compute() -> Price:
        computed.append(1)
        return Price("tea", 250)

    for _ in range(3):
        assert await cache.get_or_compute("tea", compute, Price) == Price("tea", 250)
    assert len(computed) == 1


# Several nodes.


async def test_all_nodes_see_one_cache_and_other_slices_see_none_of_it(nodes: ServiceNodes) -> None:
    for number in range(20):
        assert await nodes.cache("n1").put(f"k{number}", b"%d" % number)
    for number in range(20):
        for node in ("n1", "n2", "n3"):
            assert await nodes.cache(node).get(f"k{number}") == b"%d" % number
            assert await nodes.cache(node, "other").get(f"k{number}") is None


@pytest.mark.parametrize("rank", [0, 1])
async def test_an_acknowledged_value_survives_one_of_its_two_nodes(rank: int) -> None:
    """Before the table has lost the dead node as after it."""
    for number in range(6):
        nodes = await three()
        await nodes.cache("n1").put(f"k{number}", b"v")
        dead = keepers(f"shop/k{number}", nodes.listed)[rank]
        alive = next(node for node in nodes.listed if node != dead)
        nodes.kill(dead)
        assert await nodes.cache(alive).get(f"k{number}") == b"v"
        nodes.leave(dead)
        assert await nodes.cache(alive).get(f"k{number}") == b"v"


async def test_the_second_copy_is_made_again_by_reading(nodes: ServiceNodes) -> None:
    await nodes.cache("n1").put("tea", b"v")
    first, second = keepers("shop/tea", nodes.listed)
    nodes.kill(first)
    nodes.leave(first)
    third = next(node for node in nodes.listed if node != second)
    assert await nodes.cache(third).get("tea") == b"v"
    nodes.kill(second)
    nodes.leave(second)
    assert await nodes.cache(third).get("tea") == b"v"


async def test_a_new_owner_is_given_the_value_by_the_first_read(nodes: ServiceNodes) -> None:
    await nodes.cache("n1").put("tea", b"v")
    before = keepers("shop/tea", nodes.listed)
    newcomer = next(f"m{n}" for n in range(100) if keepers("shop/tea", [*nodes.listed, f"m{n}"])[0] == f"m{n}")
    await nodes.add(newcomer, CACHE)
    assert await nodes.cache("n1").get("tea") == b"v"
    for node in before:
        nodes.kill(node)
        nodes.leave(node)
    assert await nodes.cache(newcomer).get("tea") == b"v"


async def test_a_silent_node_is_asked_once_by_each_other_and_then_left_alone(nodes: ServiceNodes) -> None:
    """Each call to it would cost 250 ms otherwise."""
    dead = keepers("shop/tea", nodes.listed)[0]
    alive = next(node for node in nodes.listed if node != dead)
    nodes.kill(dead)
    for _ in range(5):
        assert await nodes.cache(alive).put("tea", b"v")
        assert await nodes.cache(alive).get("tea") == b"v"
    assert sum(node == dead for node, _ in nodes.calls) <= 2


async def test_an_unreachable_cache_is_a_miss_and_no_error(nodes: ServiceNodes) -> None:
    cache = nodes.cache("n1")
    for node in list(nodes.listed):
        nodes.kill(node)
    assert await cache.get("tea") is None
    assert not await cache.put("tea", b"v")
    assert not await cache.delete("tea")
