"""`aether bench`: Aether beside its peers, on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent_api.cli.failure import report
from agent_api.cli.forge import EXAMPLES, ROOT
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.bench.api import Result as ApiResult
    from evals.bench.dataplane import Result
    from evals.bench.store import Result as StoreResult


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
    _add_store(subjects.add_parser("store", help="the consensus store beside etcd: writes, reads, failover, snapshots"))

    api = subjects.add_parser("api", help="the control API beside bare FastAPI: reads, changes, events")
    api.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each run (default 3)")
    api.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default 5)")
    api.add_argument("--clients", type=int, default=500, metavar="N", help="of the events (default 500)")
    api.add_argument("--json", action="store_true")

    console = subjects.add_parser("console", help="the web console: first chart, frames of 100 nodes, bytes")
    console.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default 5)")
    console.add_argument("--json", action="store_true")

    scaling = subjects.add_parser("scaling", help="one tick of scaling over 200 slices")
    scaling.add_argument("--ticks", type=int, default=1_000, metavar="N", help="that are timed (default 1000)")
    scaling.add_argument("--slices", type=int, default=200, metavar="N", help="each with four instances (default 200)")
    scaling.add_argument("--json", action="store_true")

    scaling_run = subjects.add_parser(
        "scaling-run", help="scaling beside HPA and static, on the order example: 13 minutes"
    )
    scaling_run.add_argument("--seed", type=int, default=1, metavar="N", help="of the learnt days (default 1)")
    scaling_run.add_argument("--plot", type=Path, metavar="FILE", help="write an SVG figure there")
    scaling_run.add_argument("--json", action="store_true")

    workflow = subjects.add_parser(
        "workflow", help="durable steps beside DBOS on SQLite, and how soon a new leader resumes"
    )
    workflow.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each run (default 3)")
    workflow.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default 5)")
    workflow.add_argument("--kills", type=int, default=6, metavar="N", help="of leaders, amid 32 runs each (default 6)")
    workflow.add_argument("--dbos-python", default="", metavar="PATH", help="a Python that has dbos")
    workflow.add_argument("--dir", type=Path, metavar="DIR", help="on which disk (default: the temporary directory)")
    workflow.add_argument("--json", action="store_true")


def _add_store(store: argparse.ArgumentParser) -> None:
    store.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each run (default 2)")
    store.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default 5)")
    store.add_argument("--nodes", type=int, action="append", default=[], metavar="N", help="3 or 5; default both")
    store.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help="rounds, single or loaded; default all"
    )
    store.add_argument("--keys", type=int, default=100_000, metavar="N", help="of the single figures (default 100000)")
    store.add_argument("--kills", type=int, default=20, metavar="N", help="of loaded leaders (default 20)")
    store.add_argument("--loaded-minutes", type=float, default=10.0, metavar="M", help="without a kill (default 10)")
    store.add_argument("--dir", type=Path, metavar="DIR", help="on which disk (default: the temporary directory)")
    store.add_argument("--without-etcd", action="store_true", help="ours alone; there are no ratios then")
    store.add_argument(
        "--quick", action="store_true", help="two minutes instead of twenty: for a look, not for a claim"
    )
    store.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 measured, 1 refused."""
    runs = {
        "store": _run_store,
        "api": _run_api,
        "console": _run_console,
        "dataplane": _run_dataplane,
        "scaling": _run_scaling,
        "scaling-run": _run_beside,
        "workflow": _run_workflow,
    }
    return runs[arguments.subject](arguments)


def _run_workflow(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.bench.workflow import Plan, measure
    from evals.bench.workflow import Result as WorkflowResult

    plan = Plan(
        seconds=arguments.seconds,
        rounds=max(1, arguments.rounds),
        kills=max(1, arguments.kills),
        dbos_python=arguments.dbos_python,
        directory=arguments.dir,
    )

    async def measured() -> WorkflowResult:
        return await measure(plan, progress=lambda line: print(line, file=sys.stderr, flush=True))

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("bench", fault)
    print(json.dumps(result.figures(), indent=2) if arguments.json else "\n".join(result.lines()))
    return 0


def _run_scaling(arguments: argparse.Namespace) -> int:
    from evals.bench.scaling import measure

    result = measure(ticks=arguments.ticks, slices=arguments.slices)
    members = msgspec.structs.asdict(result)
    text = "\n".join(f"{name:14}{value}" for name, value in members.items())
    print(json.dumps(members, indent=2) if arguments.json else text)
    return 0


def _run_console(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.bench.console import Result as ConsoleResult
    from evals.bench.console import measure

    async def measured() -> ConsoleResult:
        return await measure(
            app=ROOT / "examples" / "url_shortener",
            rounds=arguments.rounds,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )

    try:
        members = msgspec.structs.asdict(anyio.run(measured))
    except RuntimeFault as fault:
        return report("bench", fault)
    text = "\n".join(f"{name:22}{value:>10.0f}" for name, value in members.items())
    print(json.dumps(members, indent=2) if arguments.json else text)
    return 0


def _run_beside(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.scaling_run.account import RunResult, table
    from evals.scaling_run.drawing import figure
    from evals.scaling_run.run import measure

    async def measured() -> RunResult:
        return await measure(
            order_example=ROOT / "examples" / "order_domain",
            seed=arguments.seed,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
        if arguments.plot is not None:
            arguments.plot.write_text(figure(result))
    except RuntimeFault as fault:
        return report("bench", fault)
    print(json.dumps(msgspec.to_builtins(result), indent=2) if arguments.json else "\n".join(table(result)))
    return 0


def _run_api(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.bench.api import Plan, measure
    from evals.bench.api import table as api_table

    plan = Plan(seconds=arguments.seconds, rounds=arguments.rounds, clients=arguments.clients)

    async def measured() -> ApiResult:
        return await measure(plan, lambda line: print(line, file=sys.stderr, flush=True))

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("bench", fault)
    print(json.dumps(result.as_json(), indent=2) if arguments.json else "\n".join(api_table(result)))
    return 0


def _run_store(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.bench.store import measure
    from evals.bench.store import table as store_table
    from evals.bench.store_runs import GROUPS, Plan

    quick = arguments.quick
    plan = Plan(
        seconds=1.0 if quick else arguments.seconds,
        rounds=2 if quick else arguments.rounds,
        sizes=tuple(arguments.nodes) or ((3,) if quick else (3, 5)),
        groups=tuple(arguments.only) or GROUPS,
        keys=20_000 if quick else arguments.keys,
        kills=3 if quick else arguments.kills,
        loaded_s=10.0 if quick else arguments.loaded_minutes * 60,
        with_etcd=not arguments.without_etcd,
        directory=arguments.dir,
        apps=tuple(ROOT / "examples" / name for name in EXAMPLES),
    )

    async def measured() -> StoreResult:
        return await measure(plan, lambda line: print(line, file=sys.stderr, flush=True))

    try:
        result = anyio.run(measured, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("bench", fault)
    print(json.dumps(result.as_json(), indent=2) if arguments.json else "\n".join(store_table(result)))
    return 0


def _run_dataplane(arguments: argparse.Namespace) -> int:
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
