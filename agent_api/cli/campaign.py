"""`aether campaign`: long tests, repeatable by their seed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from agent_api.cli.forge import ROOT
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.forge.campaigns import Kills


def add_arguments(parser: argparse.ArgumentParser) -> None:
    campaigns = parser.add_subparsers(dest="campaign", required=True, metavar="CAMPAIGN")
    kills = campaigns.add_parser("kills", help="kill the leader and another node, round after round, under load")
    kills.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time, printed")
    kills.add_argument("--rounds", type=int, default=20, metavar="N", help="default 20")
    kills.add_argument("--rps", type=float, default=1_000.0, metavar="N", help="requests a second (default 1000)")
    kills.add_argument("--pace", type=float, default=20.0, metavar="S", help="seconds from kill to kill (default 20)")
    kills.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    kills.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 passed, 1 failed or refused."""
    import anyio

    from evals.forge.campaigns import kills

    seed = arguments.seed if arguments.seed is not None else time.monotonic_ns() % 1_000_000
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

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("campaign", fault)
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0 if result.passed else 1
