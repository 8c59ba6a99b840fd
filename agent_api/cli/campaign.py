"""`aether campaign`: long tests, repeatable by their seed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from agent_api.cli.forge import ROOT
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    import anyio
    from anyio.abc import TaskStatus

    from evals.forge.campaigns import Kills
    from evals.gatekeeping.report import GateReport
    from evals.nemesis.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    campaigns = parser.add_subparsers(dest="campaign", required=True, metavar="CAMPAIGN")
    kills = campaigns.add_parser("kills", help="kill the leader and another node, round after round, under load")
    kills.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    kills.add_argument("--rounds", type=int, default=20, metavar="N", help="default 20")
    kills.add_argument("--rps", type=float, default=1_000.0, metavar="N", help="requests a second (default 1000)")
    kills.add_argument("--pace", type=float, default=20.0, metavar="S", help="seconds from kill to kill (default 20)")
    kills.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    kills.add_argument("--json", action="store_true")
    store = campaigns.add_parser("store", help="real store processes under kills, partitions, full disks and sleep")
    store.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    store.add_argument("--cycles", type=int, default=100, metavar="N", help="of each fault (default 100)")
    store.add_argument("--fault", action="append", default=[], metavar="NAME", help="only this one; default all")
    store.add_argument("--list", action="store_true", help="say which faults there are, and end")
    store.add_argument("--state", type=Path, metavar="DIR", help="where the stores live, kept for a look afterwards")
    store.add_argument("--json", action="store_true")
    gate = campaigns.add_parser("gate", help="kill the leader while changes are asked for, decided, applied and undone")
    gate.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    gate.add_argument("--cycles", type=int, default=30, metavar="N", help="default 30")
    gate.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    gate.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 passed, 1 failed or refused."""
    seed = arguments.seed if arguments.seed is not None else time.monotonic_ns() % 1_000_000
    try:
        return {"store": _run_store, "kills": _run_kills, "gate": _run_gate}[arguments.campaign](arguments, seed)
    except RuntimeFault as fault:
        return report("campaign", fault)


def _run_store(arguments: argparse.Namespace, seed: int) -> int:
    import anyio

    from evals.nemesis.errors import CampaignRefused
    from evals.nemesis.faults import FAULTS, fault_named
    from evals.nemesis.run import campaign

    if arguments.list:
        print("\n".join(f"{fault.name:<16} {fault.what}" for fault in FAULTS))
        return 0
    faults = [fault_named(name) for name in arguments.fault] or list(FAULTS)
    if arguments.cycles < 1:
        raise CampaignRefused("a campaign has one cycle at least: --cycles 1")
    if arguments.state is not None and arguments.state.exists() and any(arguments.state.iterdir()):
        raise CampaignRefused(f"{arguments.state} is not empty; name a new directory")
    print(f"seed {seed}", file=sys.stderr, flush=True)

    async def measured() -> Report:
        chosen = "".join(f" --fault {name}" for name in arguments.fault)
        async with _until_told() as told:
            return await campaign(
                faults,
                seed=seed,
                cycles=arguments.cycles,
                directory=arguments.state,
                again=f"./aether campaign store --seed {seed} --cycles {arguments.cycles}{chosen}",
                progress=lambda line: print(line, file=sys.stderr, flush=True),
                enough=told.is_set,
            )

    result = anyio.run(measured, backend_options={"use_uvloop": True})
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


@asynccontextmanager
async def _until_told() -> AsyncIterator[anyio.Event]:
    """Ctrl-C ends the campaign after the cycle that runs, with its report; once more ends it at once."""
    import anyio

    told = anyio.Event()

    async def listen(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if told.is_set():
                    raise KeyboardInterrupt
                print("ends after this cycle; Ctrl-C again ends it at once", file=sys.stderr, flush=True)
                told.set()

    async with anyio.create_task_group() as tasks:
        await tasks.start(listen)
        yield told
        tasks.cancel_scope.cancel()


def _run_kills(arguments: argparse.Namespace, seed: int) -> int:
    import anyio

    from evals.forge.campaigns import kills

    print(f"seed {seed}", file=sys.stderr, flush=True)

    async def measured() -> Kills:
        return await kills(
            seed=seed,
            rounds=arguments.rounds,
            rps=arguments.rps,
            pace_s=arguments.pace,
            state=arguments.state,
            links_app=ROOT / "examples" / "url_shortener",
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )

    result = anyio.run(measured, backend_options={"use_uvloop": True})
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def _run_gate(arguments: argparse.Namespace, seed: int) -> int:
    import anyio

    from evals.gatekeeping.run import gate_campaign

    print(f"seed {seed}", file=sys.stderr, flush=True)

    async def measured() -> GateReport:
        async with _until_told() as told:
            return await gate_campaign(
                seed=seed,
                cycles=arguments.cycles,
                state=arguments.state,
                progress=lambda line: print(line, file=sys.stderr, flush=True),
                enough=told.is_set,
            )

    result = anyio.run(measured, backend_options={"use_uvloop": True})
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1
