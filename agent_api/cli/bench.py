"""`aether bench`: Aether beside its peers, on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from agent_api.cli.forge import EXAMPLES, ROOT
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.bench.dataplane import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    dataplane = subjects.add_parser("dataplane", help="requests and calls, memory, starts")
    dataplane.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each run (default 3)")
    dataplane.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default 5)")
    dataplane.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GROUP",
        help="bare, aether, fastapi, ray or figures; default all",
    )
    dataplane.add_argument("--ray-python", default="", metavar="PATH", help="a Python that has ray[serve]")
    dataplane.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.bench.dataplane import GROUPS, measure

    async def measured() -> Result:
        return await measure(
            seconds=arguments.seconds,
            rounds=arguments.rounds,
            groups=tuple(arguments.only) or GROUPS,
            examples=[ROOT / "examples" / name for name in EXAMPLES],
            ray_python=arguments.ray_python,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("bench", fault)
    print(json.dumps(result.as_json(), indent=2) if arguments.json else "\n".join(table(result)))
    return 0


def table(result: Result) -> list[str]:
    """The rows, the ratios and the figures, for people."""
    heading = f"{'row':<18} {'rps':>8} {'p50 us':>8} {'p99 us':>9} {'CPU us':>7} {'PSS MB':>7} {'start s':>7}  path"
    lines = [heading] if result.rows else []
    for row in result.rows:
        figures = row.figures()
        lines.append(
            f"{row.name:<18} {figures['rps']:>8.0f} {figures['p50_us']:>8.0f} {figures['p99_us']:>9.0f} "
            f"{figures['cpu_us']:>7.0f} {figures['pss_mb']:>7.0f} {figures['cold_start_s'] or '-':>7}  {row.what}"
        )
    lines += [""] + [f"{name:<30} {value:>8.2f}" for name, value in result.ratios().items()]
    lines += [""] + [f"{name:<30} {value:>8}" for name, value in result.figures.items()]
    return [*lines, *result.notes]
