"""Questions to all nodes: what one node answers for the others, and whom it names as silent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from runtime.consensus.memory import MemoryStore
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.names import NodeId
from runtime.telemetry.desk import DiskRing, TelemetryDesk
from runtime.telemetry.segments import SegmentWriter

pytestmark = pytest.mark.anyio


async def refused(node: NodeId) -> Connection:
    raise NotStarted(f"{node} does not answer")


async def nothing() -> None:
    return None


async def no_reports() -> tuple[()]:
    return ()


def desk(tmp_path: Path, *, peers: Sequence[str], down: Sequence[str]) -> TelemetryDesk:
    ring = DiskRing(directory=tmp_path, bytes_max=1_000_000, age_s_max=1e9)
    return TelemetryDesk(
        node=NodeId("n1"),
        store=MemoryStore(),
        prefixes=(),
        rings={"logs": ring, "traces": ring},
        reports=no_reports,
        store_figures=nothing,
        instances=dict,
        peers=lambda: [NodeId(node) for node in peers],
        down=lambda: [NodeId(node) for node in down],
        connect=refused,
        is_leader=lambda: False,
        clock=SystemClock(),
    )


async def test_nodes_that_do_not_answer_and_nodes_that_are_down_are_named(tmp_path: Path) -> None:
    """What they logged is missing from the answer: whoever reads it must know, however long the node is down."""
    writer = SegmentWriter(tmp_path, "control")
    writer.write(json.dumps({"at_ms": 1, "event": "own"}).encode() + b"\n")
    writer.close()
    asked = desk(tmp_path, peers=("n3",), down=("n2",))
    for kind, answer in (("logs", await asked.logs({})), ("traces", await asked.traces({}))):
        assert answer == {kind: [{"at_ms": 1, "event": "own"}], "silent": ["n2", "n3"]}
