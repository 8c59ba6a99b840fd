"""The node level's pure rule: what may never happen, and what does in the end."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.nodes.config import NodePolicyInvalid, checked
from controllers.nodes.decide import decide_nodes
from controllers.nodes.model import NodeBecause, NodePolicy, NodeSeen, NodesSeen

CORES = tuple(NodeSeen(node=f"n{number}", core=True, instances=4) for number in (1, 2, 3))
AUTO = NodeSeen(node="auto-1", core=False, provided=True, instances=1)
FULL = NodesSeen(nodes=CORES, wanted=12, missing=3, slots=4)
ROOMY = NodesSeen(nodes=(*CORES, AUTO), wanted=9, slots=4, provided=1)
LONG_S = 1e6

ages = st.none() | st.floats(0.0, 5_000.0)
words = st.sampled_from(["", "sale"])
policies = st.builds(
    NodePolicy,
    least=st.integers(0, 3),
    most=st.integers(3, 6),
    step=st.integers(1, 3),
    headroom=st.floats(0.0, 1.0),
    out_after_s=st.integers(0, 100),
    in_after_s=st.integers(0, 100),
)
nodes = st.builds(
    NodeSeen,
    node=st.sampled_from(["a", "b", "auto-1", "auto-2", "auto-10"]),
    core=st.booleans(),
    provided=st.booleans(),
    takes=st.booleans(),
    instances=st.integers(0, 9),
    needed=st.booleans(),
    disturbed=st.booleans(),
)
sights = st.builds(
    NodesSeen,
    nodes=st.lists(nodes, max_size=6, unique_by=lambda each: each.node).map(tuple),
    wanted=st.integers(0, 40),
    missing=st.sampled_from([0, 0, 1, 7]),
    slots=st.none() | st.integers(1, 10),
    provider=st.booleans(),
    provided=st.integers(0, 5),
    coming=st.integers(0, 2),
    leaving=st.sampled_from([0, 0, 1]),
    down=st.sampled_from([0, 0, 1]),
    waiting=words,
    frozen=words,
    incident=words,
    since_change_s=ages,
    since_refused_s=ages,
    short_since_s=ages,
    roomy_since_s=ages,
)


@given(policies, sights, st.floats(0.0, 1e5))
def test_no_decision_breaks_a_rail(policy: NodePolicy, seen: NodesSeen, now_s: float) -> None:
    """A core node that goes takes the quorum along; a node too many is paid for."""
    found = decide_nodes(policy, seen, now_s)
    assert not (found.add and found.remove)
    if found.is_change:
        assert seen.provider
        assert not (seen.frozen)
        assert not (seen.waiting)
    if found.add:
        assert 0 < found.add <= policy.step
        assert seen.provided + found.add <= policy.most
        assert seen.missing
        assert now_s - (found.short_since_s or 0.0) >= policy.out_after_s
    if found.remove:
        gone = next(each for each in seen.nodes if each.node == found.remove)
        assert gone.provided
        assert not (gone.core)
        assert not (gone.needed)
        assert not (gone.disturbed)
        assert seen.provided > policy.least
        assert not (seen.down)
        assert not (seen.incident)
        assert not (seen.coming)
        assert not (seen.leaving)
        left = [each for each in seen.nodes if each.takes and each.node != gone.node]
        assert gone.instances == 0 or seen.wanted <= len(left) * (seen.slots or 0)


@given(policies, sights, st.floats(0.0, 1e5))
def test_a_node_is_not_asked_for_again_once_room_was_made(policy: NodePolicy, seen: NodesSeen, now_s: float) -> None:
    """What takes a node away must not make the next look ask for one: nodes would come and go for ever."""
    found = decide_nodes(policy, seen, now_s)
    if not found.remove or seen.slots is None:
        return
    left = tuple(each for each in seen.nodes if each.node != found.remove)
    room = seen.slots * sum(each.takes for each in left)
    after = msgspec.structs.replace(seen, nodes=left, missing=max(0, seen.wanted - room), provided=seen.provided - 1)
    assert not decide_nodes(policy, after, now_s + LONG_S).add


def test_nodes_come_after_instances_found_no_room_for_long_enough() -> None:
    """A node for each peak of some seconds would be paid for by the hour."""
    policy = NodePolicy(out_after_s=60)
    first = decide_nodes(policy, FULL, 100.0)
    assert first.because == (NodeBecause.NO_ROOM, NodeBecause.NOT_YET)
    later = msgspec.structs.replace(FULL, short_since_s=first.short_since_s)
    assert decide_nodes(policy, later, 159.0).add == 0
    assert decide_nodes(policy, later, 160.0).add == 1
    many = msgspec.structs.replace(later, missing=11)
    assert decide_nodes(policy, many, 160.0).add == policy.step
    assert decide_nodes(policy, msgspec.structs.replace(later, coming=1), 160.0).add == 0


def test_a_short_gap_begins_the_wait_anew() -> None:
    calm = decide_nodes(NodePolicy(), msgspec.structs.replace(FULL, missing=0, short_since_s=1.0), 50.0)
    assert calm.short_since_s is None


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"provider": False}, NodeBecause.NO_PROVIDER),
        ({"frozen": "sale"}, NodeBecause.FROZEN),
        ({"waiting": "p1"}, NodeBecause.PROPOSED),
        ({"since_refused_s": 10.0}, NodeBecause.TURNED_DOWN),
        ({"since_change_s": 10.0}, NodeBecause.COOL_DOWN),
        ({"provided": 4}, NodeBecause.BOUNDS),
    ],
)
def test_what_keeps_a_node_from_coming_is_said(changed: dict[str, object], because: NodeBecause) -> None:
    found = decide_nodes(NodePolicy(), msgspec.structs.replace(FULL, short_since_s=0.0, **changed), LONG_S)
    assert found.add == 0
    assert because in found.because


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"down": 1}, NodeBecause.NODE_DOWN),
        ({"incident": "slow"}, NodeBecause.INCIDENT),
        ({"leaving": 1}, NodeBecause.LEAVING),
        ({"since_change_s": 10.0}, NodeBecause.COOL_DOWN),
        ({"provided": 0}, NodeBecause.BOUNDS),
        ({"wanted": 10}, NodeBecause.ENOUGH),
    ],
)
def test_what_keeps_a_node_from_going_is_said(changed: dict[str, object], because: NodeBecause) -> None:
    seen = msgspec.structs.replace(ROOMY, roomy_since_s=0.0)
    assert decide_nodes(NodePolicy(), seen, LONG_S).remove == "auto-1"
    found = decide_nodes(NodePolicy(), msgspec.structs.replace(seen, **changed), LONG_S)
    assert found.remove == ""
    assert because in found.because


@pytest.mark.parametrize("mark", [{"core": True}, {"needed": True}, {"disturbed": True}, {"takes": False}])
def test_a_node_that_must_stay_stays_however_much_room_there_is(mark: dict[str, bool]) -> None:
    """A core node takes its vote along, another the only place or the last serving instance of a slice."""
    auto = msgspec.structs.replace(AUTO, **mark)
    seen = msgspec.structs.replace(ROOMY, nodes=(*CORES, auto), wanted=1, roomy_since_s=0.0)
    assert decide_nodes(NodePolicy(), seen, LONG_S).because == (NodeBecause.ENOUGH,)


def test_the_node_that_moves_the_fewest_instances_goes_and_of_those_the_newest() -> None:
    others = tuple(msgspec.structs.replace(AUTO, node=f"auto-{number}", instances=2) for number in (9, 10))
    seen = msgspec.structs.replace(ROOMY, nodes=(*CORES, *others), provided=2, roomy_since_s=0.0)
    assert decide_nodes(NodePolicy(), seen, LONG_S).remove == "auto-10"


def test_a_policy_that_would_oscillate_is_refused() -> None:
    with pytest.raises(NodePolicyInvalid, match="oscillate"):
        checked({"cool_down_in_s": 10, "out_after_s": 60})
    with pytest.raises(NodePolicyInvalid, match="least"):
        checked({"least": 5, "most": 1})
