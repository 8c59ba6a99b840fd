"""Questions to all nodes: what one node answers for the others, and whom it names as silent."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import anyio
import pytest

from runtime.clock import SystemClock
from runtime.consensus.memory import MemoryStore
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.names import NodeId
from runtime.telemetry.desk import DiskRing, TelemetryDesk
from runtime.telemetry.figures import MachineFigures, NodeFigures, StoreVitals, encode
from runtime.telemetry.segments import SegmentWriter

pytestmark = pytest.mark.anyio


Connect = Callable[[NodeId], Awaitable[Connection]]


async def refused(node: NodeId) -> Connection:
    raise NotStarted(f"{node} does not answer")


async def nothing() -> None:
    return None


async def no_reports() -> tuple[()]:
    return ()


def desk(
    tmp_path: Path, *, peers: Sequence[str], down: Sequence[str], connect: Connect = refused, leads: bool = False
) -> TelemetryDesk:
    ring = DiskRing(directory=tmp_path, bytes_max=1_000_000, age_s_max=1e9)
    return TelemetryDesk(
        node=NodeId("n1"),
        store=MemoryStore(),
        prefixes=(),
        rings={"logs": ring, "traces": ring},
        reports=no_reports,
        silent=lambda: ("gateway",),
        store_figures=nothing,
        has_store=False,
        machine=MachineFigures,
        instances=dict,
        peers=lambda: [NodeId(node) for node in peers],
        down=lambda: [NodeId(node) for node in down],
        connect=connect,
        is_leader=lambda: leads,
        clock=SystemClock(),
    )


class Answers:
    """A connection to a node that tells these figures."""

    def __init__(self, told: NodeFigures) -> None:
        self._told = told

    async def call(self, _target: str, _payload: bytes, *, deadline_s: float) -> bytes:
        assert deadline_s > 0
        return encode(self._told)


async def test_a_leader_asks_nodes_that_count_as_down_how_their_store_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose own store hangs loses its lease; who asked only nodes that live would never hear why."""
    monkeypatch.setattr("runtime.telemetry.desk.DOWN_S", 0.01)
    hangs = NodeFigures(node="n2", at_s=1, requests=7, store=StoreVitals(silent=True))

    async def connect(_node: NodeId) -> Connection:
        return cast(Connection, Answers(hangs))

    asked = desk(tmp_path, peers=(), down=("n2",), connect=connect, leads=True)
    heard = anyio.Event()
    asked.on_second(lambda second: heard.set() if asked.figure("store:n2", "silent") is not None else None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked.run)
        with anyio.fail_after(10):
            await heard.wait()
        tasks.cancel_scope.cancel()
    assert asked.figure("store:n2", "silent") == 1.0
    assert asked.figure("node:n2", "loop_lag_ms") is None, "nothing else of it counts"


async def test_nodes_that_do_not_answer_and_nodes_that_are_down_are_named(tmp_path: Path) -> None:
    """What they logged is missing from the answer: whoever reads it must know, however long the node is down."""
    writer = SegmentWriter(tmp_path, "control")
    writer.write(json.dumps({"at_ms": 1, "event": "own"}).encode() + b"\n")
    writer.close()
    asked = desk(tmp_path, peers=("n3",), down=("n2",))
    for kind, answer in (("logs", await asked.logs({})), ("traces", await asked.traces({}))):
        assert answer == {kind: [{"at_ms": 1, "event": "own"}], "silent": ["n2", "n3"]}
