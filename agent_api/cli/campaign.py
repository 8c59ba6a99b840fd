"""`aether campaign`: long tests, repeatable by their seed."""

from __future__ import annotations

import argparse
import json
import os
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
    from evals.retraining.report import RetrainingReport


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
    trained = campaigns.add_parser(
        "retraining", help="drift, training, contest, another model in force, and the way back"
    )
    trained.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    trained.add_argument("--json", action="store_true")
    gate = campaigns.add_parser("gate", help="kill the leader while changes are asked for, decided, applied and undone")
    gate.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    gate.add_argument("--cycles", type=int, default=30, metavar="N", help="default 30")
    gate.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    gate.add_argument("--json", action="store_true")
    replaced = campaigns.add_parser(
        "node-replaced", help="stop a node, have its alert start its replacement, and kill the leader on the way"
    )
    replaced.add_argument("--at", action="append", default=[], metavar="STEP", help="kill there; none: nobody; or all")
    replaced.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    replaced.add_argument("--json", action="store_true")
    ops = campaigns.add_parser(
        "ops", help="every scenario with a real fault, answered by rules, in an order of the seed"
    )
    ops.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    ops.add_argument("--runs", type=int, default=1, metavar="N", help="how often each (default 1)")
    ops.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    ops.add_argument("--json", action="store_true")
    workflow = campaigns.add_parser("workflow", help="kill the leader at every write of runs, in simulated time")
    workflow.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    workflow.add_argument("--seeds", type=int, default=100, metavar="N", help="of each all writes (default 100)")
    workflow.add_argument("--minutes", type=float, default=0.0, metavar="N", help="instead: as many as fit into that")
    workflow.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: one a core")
    workflow.add_argument("--processes", action="store_true", help="instead: real processes, every write once")
    workflow.add_argument("--plant", action="append", default=[], metavar="NAME", help="look for this mistake; or all")
    workflow.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 passed, 1 failed or refused."""
    given = getattr(arguments, "seed", None)
    seed = given if given is not None else time.monotonic_ns() % 1_000_000
    try:
        play = {
            "store": _run_store,
            "kills": _run_kills,
            "gate": _run_gate,
            "retraining": _run_retraining,
            "workflow": _run_workflow,
            "node-replaced": _run_replaced,
            "ops": _run_ops,
        }
        return play[arguments.campaign](arguments, seed)
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


def _run_retraining(arguments: argparse.Namespace, seed: int) -> int:
    import anyio

    from evals.retraining.run import retraining_campaign

    print(f"seed {seed}", file=sys.stderr, flush=True)

    async def measured() -> RetrainingReport:
        return await retraining_campaign(seed=seed, progress=lambda line: print(line, file=sys.stderr, flush=True))

    result = anyio.run(measured, backend_options={"use_uvloop": True})
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def _run_replaced(arguments: argparse.Namespace, _seed: int) -> int:
    import anyio

    from evals.nemesis.errors import CampaignRefused
    from evals.replacing.report import Replacements
    from evals.replacing.story import KILLS, replacements

    chosen = [each for each in KILLS if {each or "none", "all"} & set(arguments.at or ["all"])]
    unknown = [each for each in arguments.at if each not in ("all", "none", *KILLS)]
    if unknown:
        raise CampaignRefused(f"no step {unknown[0]!r}; there are none, {', '.join(filter(None, KILLS))} and all")

    async def measured() -> Replacements:
        return await replacements(
            chosen,
            app=ROOT / "examples" / "url_shortener",
            state=arguments.state,
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


def _run_workflow(arguments: argparse.Namespace, seed: int) -> int:
    from evals.workflow.campaign import WorkflowCampaign, campaign

    print(f"seed {seed}", file=sys.stderr, flush=True)
    if arguments.plant:
        return _find_planted(arguments, seed)
    if arguments.processes:
        return _kill_processes(arguments, seed)

    def progress(so_far: WorkflowCampaign) -> None:
        if so_far.seeds % 10 == 0:
            told = f"{so_far.seeds} seeds, {so_far.stories} stories, {len(so_far.violations)} violations"
            print(told, file=sys.stderr, flush=True)

    result = campaign(
        seed, seeds=max(1, arguments.seeds), jobs=max(1, arguments.jobs), minutes=arguments.minutes, progress=progress
    )
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def _run_ops(arguments: argparse.Namespace, seed: int) -> int:
    from agent_api.cli.eval_ops import play_shuffled

    print(f"seed {seed}", file=sys.stderr, flush=True)
    report = play_shuffled(seed, runs=max(1, arguments.runs), state=arguments.state)
    print(json.dumps(report.document(), indent=2) if arguments.json else "\n".join(report.lines()))
    return 0 if report.passed and report.reaches_bars else 1


def _kill_processes(arguments: argparse.Namespace, seed: int) -> int:
    import anyio

    from evals.workflow.killing import Killings, kill_at_writes

    async def killed() -> Killings:
        return await kill_at_writes(seed=seed, progress=lambda line: print(line, file=sys.stderr, flush=True))

    result = anyio.run(killed, backend_options={"use_uvloop": True})
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def _find_planted(arguments: argparse.Namespace, seed: int) -> int:
    from evals.workflow.campaign import stories_needed
    from evals.workflow.planted import PLANTS

    names = list(PLANTS) if "all" in arguments.plant else arguments.plant
    found = [stories_needed(name, seed) for name in names]
    if arguments.json:
        print(json.dumps({each.plant: each.stories for each in found}, indent=2))
    else:
        for each in found:
            told = f"found in story {each.stories}: {each.violation}" if each.stories else "NOT FOUND"
            print(f"{each.plant:<22} {each.protection}: {told}")
    return 0 if all(each.stories for each in found) else 1
