"""Which nodes keep a key, and what a node keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.cache.limits import ENTRY_BYTES
from infra.cache.placement import keepers, ranked
from infra.cache.shelf import Shelf

NODES = st.lists(st.from_regex(r"n[0-9]{1,3}", fullmatch=True), min_size=1, max_size=12, unique=True)
KEYS = [f"shop/item-{number}" for number in range(600)]


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return 0


@given(NODES, st.text(max_size=30))
def test_every_node_finds_the_same_keepers(nodes: list[str], key: str) -> None:
    assert ranked(key, nodes) == ranked(key, sorted(nodes))
    assert len(set(keepers(key, nodes))) == min(2, len(nodes))


@given(NODES)
def test_a_joining_node_takes_keys_and_moves_no_other(nodes: list[str]) -> None:
    """More movement would empty the cache of nodes that nothing happened to."""
    grown = [*nodes, "newcomer"]
    taken = 0
    for key in KEYS[:100]:
        before, after = keepers(key, nodes), keepers(key, grown)
        assert set(after) - {"newcomer"} <= set(before)
        if "newcomer" not in after:
            assert after == before
        taken += after[0] == "newcomer"
    assert taken <= 100 / len(grown) * 2 + 12


@given(NODES.filter(lambda nodes: len(nodes) > 2), st.data())
def test_a_leaving_node_takes_only_its_own_keys(nodes: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(nodes))
    left = [node for node in nodes if node != gone]
    for key in KEYS[:100]:
        before, after = keepers(key, nodes), keepers(key, left)
        if gone not in before:
            assert after == before
        if before[0] == gone:
            assert after[0] == before[1], "the backup is who answers next"


def test_keys_spread_evenly() -> None:
    nodes = ["n1", "n2", "n3", "n4"]
    owned = [keepers(key, nodes)[0] for key in KEYS]
    assert all(abs(owned.count(node) - 150) < 50 for node in nodes)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 900), st.floats(0.1, 9)), max_size=60))
def test_a_shelf_never_holds_more_than_its_bytes(puts: list[tuple[str, int, float]]) -> None:
    clock = HandClock()
    shelf = Shelf(clock, bytes_max=3_000)
    for key, size, ttl_s in puts:
        kept = shelf.put(key, b"x" * size, ttl_s)
        clock.now_s += 0.5
        assert (kept is not None) == (size + len(key) + ENTRY_BYTES <= 3_000)
        assert shelf.size <= 3_000
    for key in "abcdefgh":
        shelf.drop(key)
    assert (shelf.size, len(shelf)) == (0, 0)


def test_the_least_recently_used_entry_makes_room() -> None:
    shelf = Shelf(HandClock(), bytes_max=3 * (ENTRY_BYTES + 11))
    for key in "abc":
        shelf.put(key, b"0123456789", 60)
    assert shelf.get("a") is not None
    shelf.put("d", b"0123456789", 60)
    assert [key for key in "abcd" if shelf.get(key)] == ["a", "c", "d"]
    assert shelf.evicted == 1


def test_an_entry_ends_with_its_time() -> None:
    clock = HandClock()
    shelf = Shelf(clock)
    shelf.put("a", b"1", 5)
    clock.now_s += 4.9
    assert shelf.get("a") is not None
    clock.now_s += 0.2
    assert shelf.get("a") is None
    assert shelf.size == 0
