"""Room on the nodes: what nodes tell of themselves limits what comes; what they do not tell does not."""

from __future__ import annotations

import msgspec
import pytest

from controllers.context.snapshot import NodeContext
from controllers.scaling.config import ScalingConfig
from controllers.scaling.model import Because
from controllers.scaling.room import room_on
from runtime.telemetry.desk import ClosedSecond
from runtime.telemetry.figures import MachineFigures, NodeFigures, SliceFigures
from tests.unit.gate_parts import GateOnHand
from tests.unit.test_scaling_loop import Live

GIB = 2**30


def node(name: str = "n1", **members: object) -> NodeContext:
    known = NodeContext(
        node=name, role="core", zone="", takes_instances=True, cpu_count=4, memory_bytes=10 * GIB, instances=3
    )
    return msgspec.structs.replace(known, **members)


@pytest.mark.parametrize(
    ("members", "instance_gib", "room"),
    [
        ({}, 1.0, None),
        ({"memory_share": 0.4}, None, None),
        ({"memory_share": 0.4}, 1.0, 5),
        ({"memory_share": 0.4}, 0.7, 7),
        ({"memory_share": 0.92}, None, 0),
        ({"busy_share": 0.94}, 1.0, None),
        ({"busy_share": 0.95}, 1.0, 0),
        ({"busy_share": 0.1, "memory_share": 0.7}, 1.0, 2),
        ({"memory_share": 0.4, "memory_bytes": 0}, 1.0, None),
        ({"memory_share": 0.4, "takes_instances": False}, 1.0, 0),
    ],
)
def test_a_node_takes_what_its_memory_and_cpu_leave(
    members: dict[str, object], instance_gib: float | None, room: int | None
) -> None:
    instance_bytes = instance_gib * GIB if instance_gib is not None else None
    assert room_on(ScalingConfig(), [node(**members)], instance_bytes) == room


def test_of_each_node_its_tightest_limit_counts_and_one_without_limit_takes_any_number() -> None:
    """One that is full by number and one that is full by memory have no room together."""
    config = ScalingConfig(node_instances_max=5)
    nodes = [node("n1", instances=5, memory_share=0.1), node("n2", instances=0, memory_share=0.95), node("n3")]
    assert room_on(config, nodes[:2], float(GIB)) == 0
    assert room_on(config, nodes, float(GIB)) == 2
    assert room_on(ScalingConfig(), nodes, float(GIB)) is None


@pytest.mark.anyio
async def test_no_instance_comes_where_no_memory_is_left() -> None:
    orders = Live(GateOnHand())
    await orders.begin()
    machine = MachineFigures(memory_share=0.95)
    for _ in range(40):
        orders.hand.pass_time(1_000)
        figures: dict[str, SliceFigures] = {"orders": orders.figures(300)}
        nodes = tuple(NodeFigures(node=name, at_s=0, machine=machine) for name in orders.heard)
        orders.context.take(ClosedSecond(at_s=orders.hand.clock.unix_ms() // 1_000, slices=figures, nodes=nodes))
        judged = orders.loop.judge_all()
    assert orders.hand.wanted() == 2
    assert Because.NODES_FULL in judged[0].decision.because
    assert orders.loop.without_room() > 0
