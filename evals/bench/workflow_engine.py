"""An engine beside each store, as control has it: carries out steps that do nothing, while its node leads.

`python -P -m evals.bench.workflow_engine --data DIR`; prints "ready", then "leads SECONDS" each time it begins to lead,
by the clock that all processes of a machine share; ends when its input closes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import anyio
import uvloop

from runtime.clock import SystemClock
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leader_services import run_leader_services
from runtime.consensus.client import StoreClient
from runtime.consensus.store import Leadership, Put
from runtime.names import Sha256
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.sdk.testing import CollectedLog
from runtime.state import keys
from runtime.workflow.case import Note
from runtime.workflow.engine import WorkflowEngine
from runtime.workflow.flow import Action, Did, Directive, Do, Done, Finish, Flow, RunView, StepContext, Waits
from runtime.workflow.ports import WorkflowPorts

KIND: Final = "bench"


class CountedSteps:
    """As many as the run's input says."""

    def next(self, run: RunView) -> Directive:
        done = len(run.steps)
        wanted = int(str(run.input["steps"]))
        if done >= wanted:
            return Finish()
        return Do(step=f"s{done}", action="nothing", input={}, effect=Effect.IDEMPOTENT, timeout_s=10)


class Nothing:
    """Takes as long as the run's input says, in ms; DBOS's does nothing at all."""

    async def run(self, context: StepContext) -> Did | Waits:
        pause_ms = int(str(context.run.input.get("pause_ms", 0)))
        if pause_ms:
            await anyio.sleep(pause_ms / 1_000)
        return Did()

    async def probe(self, context: StepContext) -> Done:
        return Done()

    async def undo(self, context: StepContext, result: dict[str, Json]) -> None:
        return None


class BenchKind:
    name = KIND

    def load(self, definition: bytes) -> Flow:
        return CountedSteps()

    def action(self, name: str) -> Action:
        return Nothing()


class NoContent:
    """Implements Definitions and Results."""

    async def read(self, sha256: Sha256) -> bytes:
        return b""

    async def keep(self, run: str, raw: bytes) -> Sha256:
        raise AssertionError("no result here is long")

    async def drop(self, run: str, sha256: Sha256) -> None:
        raise AssertionError("no result here is long")


def audited(note: Note) -> list[Put]:
    """Something of about the size of an audit record; only the last of each run is kept."""
    return [
        Put(key=keys.audit_joined(note.run.id), value=f'{{"kind":"{note.kind}","summary":"{note.summary}"}}'.encode())
    ]


async def serve(layout: NodeLayout) -> None:
    identity = read_identity(layout.identity)
    store = StoreClient.open(layout, identity)
    log = CollectedLog()
    engine = WorkflowEngine(
        WorkflowPorts(
            store=store,
            kinds={KIND: BenchKind()},
            definitions=NoContent(),
            results=NoContent(),
            sources={},
            trail=audited,
            clock=SystemClock(),
            log=log,
        )
    )

    def noted(leadership: Leadership) -> None:
        if leadership.leader == identity.node:
            print(f"leads {time.monotonic()}", flush=True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_told, tasks.cancel_scope)
        print("ready", flush=True)
        await run_leader_services(store=store, node=identity.node, services=(engine.run,), log=log, noted=noted)


async def _until_told(scope: anyio.CancelScope) -> None:
    await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    uvloop.run(serve(NodeLayout(parser.parse_args().data)))
