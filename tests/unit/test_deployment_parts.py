"""The phase table walked whole, and the routing table as a function of the state."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from runtime.deployment.phases import MOVES, IllegalMove, Step, advance
from runtime.deployment.routing_table import build
from runtime.names import NodeId, SliceName, Version
from runtime.sdk.contract import SliceContract
from runtime.state.values import Addresses, Endpoint, NodeRecord, Phase
from tests.unit.gate_parts import target


@pytest.mark.parametrize(("phase", "step"), list(itertools.product(Phase, Step)))
def test_every_pair_of_phase_and_step_moves_as_the_table_says_or_is_refused(phase: Phase, step: Step) -> None:
    if (phase, step) in MOVES:
        assert advance(phase, step) is MOVES[phase, step]
    else:
        with pytest.raises(IllegalMove):
            advance(phase, step)


def test_every_phase_can_fail_and_every_phase_can_be_reached() -> None:
    assert {advance(phase, Step.FAILED) for phase in Phase} == {Phase.FAILED}
    assert set(MOVES.values()) == set(Phase)


def record(name: str, *, leaving: bool = False) -> NodeRecord:
    addresses = Addresses(http="", api="", peer=f"{name}:1", control="")
    return NodeRecord(node=NodeId(name), role="core", addresses=addresses, leaving=leaving)


def endpoint(node: str, *, slice_name: str = "tea", number: int = 1) -> Endpoint:
    return Endpoint(slice=SliceName(slice_name), version=Version("1"), node=NodeId(node), number=number)


TEA = SliceContract(name="tea", version="1", entry="m:C")
COFFEE = SliceContract(name="coffee", version="1", entry="m:C")


def test_a_table_lists_live_endpoints_peers_and_the_contracts_in_use() -> None:
    table = build(
        revision=7,
        node=NodeId("n1"),
        nodes=[record("n1"), record("n2", leaving=True)],
        endpoints=[endpoint("n1"), endpoint("n2"), endpoint("n3")],
        contracts=[COFFEE, TEA],
        local={("tea", 1): "w-1"},
    )
    assert [(row.node, row.worker) for row in table.instances] == [("n1", "w-1"), ("n2", "")]
    assert [(peer.node, peer.address, peer.leaving) for peer in table.peers] == [("n2", "n2:1", True)]
    assert table.contracts == (TEA,)
    assert table.revision == 7


def test_a_route_goes_with_the_last_instance() -> None:
    table = build(revision=1, node=NodeId("n1"), nodes=[record("n1")], endpoints=[], contracts=[TEA], local={})
    assert table.contracts == ()


@pytest.mark.parametrize(("least", "serves", "rests"), [(0, False, True), (0, True, False), (1, False, False)])
def test_a_slice_rests_where_its_bounds_allow_none_and_none_serves(least: int, *, serves: bool, rests: bool) -> None:
    table = build(
        revision=1,
        node=NodeId("n1"),
        nodes=[record("n1"), record("n2")],
        endpoints=[endpoint("n2", slice_name="orders")] if serves else [],
        contracts=[msgspec.structs.replace(TEA, name="orders")],
        local={},
        targets=[target("orders", 1, least, 5)],
    )
    assert [(row.slice, row.version) for row in table.resting] == ([("orders", "1")] if rests else [])
    assert [each.name for each in table.contracts] == (["orders"] if rests or serves else [])


def test_an_own_endpoint_without_its_worker_is_left_out() -> None:
    """The store may still list what this node has just lost."""
    table = build(
        revision=1, node=NodeId("n1"), nodes=[record("n1")], endpoints=[endpoint("n1")], contracts=[TEA], local={}
    )
    assert table.instances == ()
