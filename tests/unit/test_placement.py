"""Placement: every target gets what fits, as far apart as there is room, and nothing moves without need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from runtime.deployment.placement import Changes, Placed, place
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.state.values import Addresses, BlueprintSlice, NodeRecord, Placement, SliceTarget

NOWHERE = Addresses(http="", api="", peer="", control="")


def node(
    name: str, *, zone: str = "z", cordoned: bool = False, leaving: bool = False, role: str = "core"
) -> NodeRecord:
    return NodeRecord(
        node=NodeId(name),
        role=role,
        zone=zone,
        addresses=NOWHERE,
        cordoned=cordoned,
        leaving=leaving,  # type: ignore[arg-type]
    )


def target(
    wanted: int,
    *,
    name: str = "tea",
    spread: str = "node",
    weight: int = 100,
    zones: tuple[str, ...] = (),
    min_available: int = 1,
) -> SliceTarget:
    settings = BlueprintSlice(
        slice=SliceName(name),
        version=Version("1"),
        artifact="tea==1",
        instances=wanted,
        min=0,
        max=99,
        weight=weight,
        min_available=min_available,
        placement=Placement(spread=spread, zones=zones),  # type: ignore[arg-type]
    )
    return SliceTarget(blueprint=BlueprintId("b"), settings=settings, artifact_sha256=Sha256("s"), wanted=wanted)


def after(placed: Sequence[Placed], changes: Changes, *, serving: bool = True) -> list[Placed]:
    """The state once the changes are carried out."""
    touched = [_key(each) for each in (*changes.delete, *changes.write)]
    gone = set(touched)
    assert len(gone) == len(touched)  # or the store takes none of it, again and again
    kept = [each for each in placed if _key(each) not in gone]
    return kept + [Placed(node=each.node, assignment=each.assignment, serving=serving) for each in changes.write]


def _key(each: Placed) -> tuple[str, str, int]:
    return each.node, each.assignment.slice, each.assignment.number


def settled(targets: Sequence[SliceTarget], nodes: Sequence[NodeRecord], placed: Sequence[Placed] = ()) -> list[Placed]:
    current = list(placed)
    for _ in range(5):
        changes = place(targets, nodes, current)
        if not changes.write and not changes.delete:
            return current
        current = after(current, changes)
    raise AssertionError("placement does not settle")


def spread(placed: Sequence[Placed]) -> Counter[str]:
    return Counter(each.node for each in placed)


def test_instances_go_to_as_many_nodes_as_there_are() -> None:
    assert spread(settled([target(5)], [node("n1"), node("n2"), node("n3")])).most_common() == [
        ("n1", 2),
        ("n2", 2),
        ("n3", 1),
    ]


def test_spread_over_zones_comes_before_spread_over_nodes() -> None:
    nodes = [node("n1", zone="a"), node("n2", zone="a"), node("n3", zone="b")]
    assert {each.node for each in settled([target(2, spread="zone")], nodes)} == {"n1", "n3"}


def test_different_slices_share_the_nodes_evenly() -> None:
    nodes = [node("n1"), node("n2"), node("n3")]
    placed = settled([target(1, name=name) for name in ("a", "b", "c")], nodes)
    assert set(spread(placed).values()) == {1}


def test_cordoned_leaving_and_foreign_nodes_get_nothing_new() -> None:
    nodes = [node("n1", cordoned=True), node("n2", leaving=True), node("n3", zone="far"), node("n4")]
    assert set(spread(settled([target(3, zones=("z",))], nodes))) == {"n4"}


def test_without_a_node_that_fits_it_is_said_how_many_found_none() -> None:
    changes = place([target(3)], [node("n1", cordoned=True)], ())
    assert changes.unplaced == {"tea": 3}
    assert not changes.write


def test_when_a_node_dies_only_its_instances_are_made_anew() -> None:
    nodes = [node("n1"), node("n2"), node("n3")]
    before = settled([target(6)], nodes)
    later = settled([target(6)], nodes[:2], before)
    assert [each for each in before if each.node != "n3"] == [each for each in later if each in before]
    assert spread(later) == {"n1": 3, "n2": 3}


def test_a_leaving_node_keeps_its_instances_until_others_serve() -> None:
    """Taking them first would be an outage with a plan."""
    nodes = [node("n1"), node("n2")]
    before = settled([target(2)], nodes)
    leaving = [node("n1"), node("n2", leaving=True)]
    first = place([target(2)], leaving, before)
    assert len(first.write) == 1
    assert not first.delete
    waiting = after(before, first, serving=False)
    assert not place([target(2)], leaving, waiting).delete
    ready = after(before, first, serving=True)
    assert {each.node for each in place([target(2)], leaving, ready).delete} == {"n2"}


def test_a_leaving_node_that_nobody_can_replace_waits_for_min_available() -> None:
    """Else a node could never leave a cluster that is full, or would take the last instances with it."""
    before = settled([target(2)], [node("n1"), node("n2")])
    full = [node("n1", cordoned=True), node("n2", leaving=True)]
    one_is_enough = place([target(2, min_available=1)], full, before)
    assert {each.node for each in one_is_enough.delete} == {"n2"}
    assert not place([target(2, min_available=2)], full, before).delete


def test_scaling_down_takes_from_the_fullest_node_and_what_does_not_serve_first() -> None:
    nodes = [node("n1"), node("n2")]
    before = settled([target(4)], nodes)
    assert spread(settled([target(2)], nodes, before)) == {"n1": 1, "n2": 1}
    idle = [Placed(node=each.node, assignment=each.assignment, serving=at != 2) for at, each in enumerate(before)]
    assert place([target(3)], nodes, idle).delete == (idle[2],)


def test_changed_settings_keep_the_place_and_raise_the_generation() -> None:
    nodes = [node("n1")]
    before = settled([target(1)], nodes)
    changes = place([target(1, weight=50)], nodes, before)
    (changed,) = changes.write
    assert (changed.assignment.number, changed.assignment.generation) == (1, 2)
    assert changed.assignment.settings.weight == 50


def test_what_goes_is_not_refreshed_though_settings_changed_in_the_same_moment() -> None:
    """As by bounds and a scale, or a blueprint with fewer instances: both are there before it is looked."""
    nodes = [node("n1"), node("n2")]
    before = settled([target(2)], nodes)
    changes = place([target(0, weight=50)], nodes, before)
    assert (changes.write, {_key(each) for each in changes.delete}) == ((), {_key(each) for each in before})
    fewer = place([target(1, weight=50)], nodes, before)
    assert (len(fewer.write), len(fewer.delete)) == (1, 1)
    assert after(before, fewer)


def test_what_no_target_wants_goes() -> None:
    before = settled([target(2)], [node("n1")])
    assert list(place([], [node("n1")], before).delete) == before


nodes_drawn = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=6)
targets_drawn = st.lists(st.integers(0, 7), min_size=1, max_size=4)


@given(nodes_drawn, targets_drawn, nodes_drawn, targets_drawn)
def test_placement_settles_and_never_overfills(first: list, wanted: list, second: list, wanted_later: list) -> None:
    """From any state to any other: the right number, on nodes that are allowed, with numbers that are unique."""
    placed: list[Placed] = []
    for drawn, numbers in ((first, wanted), (second, wanted_later)):
        nodes = [
            node(f"n{at}", cordoned=cordoned, leaving=leaving, zone=zone)
            for at, (cordoned, leaving, zone) in enumerate(drawn)
        ]
        targets = [target(number, name=f"s{at}") for at, number in enumerate(numbers)]
        placed = settled(targets, nodes, placed)
        keys = [(each.node, each.assignment.slice, each.assignment.number) for each in placed]
        assert len(keys) == len(set(keys))
        known = {each.node: each for each in nodes}
        assert all(each.node in known for each in placed)
        if any(not each.cordoned and not each.leaving for each in nodes):
            staying = Counter(each.assignment.slice for each in placed if not known[each.node].leaving)
            assert all(staying[f"s{at}"] == number for at, number in enumerate(numbers))
            assert place(targets, nodes, placed) == place(targets, nodes, placed)
