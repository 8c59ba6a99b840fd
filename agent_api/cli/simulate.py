"""`aether simulate`: the store's real engine on simulated time, network and disk, by seed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.simulation.campaign import Campaign

MINUTES_DEFAULT = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, metavar="N", help="this run; with --minutes the first of many")
    parser.add_argument("--trace", action="store_true", help="print what happened in the run")
    parser.add_argument("--minutes", type=float, metavar="M", help="as many runs as fit, on all cores (default 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at the same time")
    parser.add_argument("--size", type=int, choices=(3, 5), default=0, help="nodes of the run (default: by seed)")
    parser.add_argument("--plant", default="", metavar="BUG", help="plant a bug in the run named by --seed")
    parser.add_argument(
        "--planted", nargs="*", metavar="BUG", help="plant each bug (or those named) and count the seeds to find it"
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 every promise held (or every planted bug was found), 1 not, 2 wrong usage."""
    if arguments.jobs < 1 or (arguments.minutes is not None and arguments.minutes <= 0):
        print("aether simulate: --jobs and --minutes must be above zero", file=sys.stderr)
        return 2
    try:
        if arguments.planted is not None:
            return _planted(arguments)
        if arguments.seed is not None and arguments.minutes is None:
            return _one(arguments)
        return _many(arguments)
    except RuntimeFault as fault:
        return report("simulate", fault)


def _one(arguments: argparse.Namespace) -> int:
    from evals.simulation.run import simulate

    outcome = simulate(arguments.seed, size=arguments.size, plant=arguments.plant)
    if arguments.json:
        shown = dataclasses.asdict(outcome)
        if not arguments.trace:
            del shown["trace"]
        print(json.dumps(shown, indent=2))
    else:
        if arguments.trace:
            print("\n".join(outcome.trace))
        print(f"seed {outcome.seed}, {outcome.size} nodes, {outcome.simulated_s:.0f} simulated seconds")
        print(f"{outcome.commands} changes, {outcome.elections} elections, {outcome.checks} checks")
        print(f"VIOLATED: {outcome.violation}" if outcome.violation else "every promise held")
    return 1 if outcome.violation else 0


def _many(arguments: argparse.Namespace) -> int:
    from evals.simulation.campaign import campaign

    first = arguments.seed if arguments.seed is not None else time.monotonic_ns() % 1_000_000
    minutes = arguments.minutes if arguments.minutes is not None else MINUTES_DEFAULT
    result = campaign(first, minutes=minutes, jobs=arguments.jobs, progress=_progress(minutes))
    print(file=sys.stderr)
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def _progress(minutes: float) -> Callable[[Campaign], None]:
    began_s = time.monotonic()

    def show(total: Campaign) -> None:
        if sys.stderr.isatty() or total.runs % 100 == 0:
            gone = (time.monotonic() - began_s) / 60
            line = f"{gone:5.1f} of {minutes:g} min, {total.runs} runs, {len(total.violations)} violations"
            print(f"\r{line}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    return show


def _planted(arguments: argparse.Namespace) -> int:
    from evals.planting import UnknownPlant
    from evals.simulation.campaign import find_planted
    from evals.simulation.planted import PLANTS

    names = tuple(arguments.planted) or tuple(PLANTS)
    for name in names:
        if name not in PLANTS:
            raise UnknownPlant(name, PLANTS)
    rows = []
    for found in find_planted(first_seed=arguments.seed or 1, names=names, jobs=arguments.jobs):
        rows.append(dataclasses.asdict(found))
        if not arguments.json:
            needed = f"{found.seeds} seeds" if found.seeds else "NOT FOUND"
            print(f"{found.plant:24} {needed:>10}  {found.protection}: {found.violation[:90]}", flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    return 0 if all(row["seeds"] for row in rows) else 1
