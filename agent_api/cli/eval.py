"""`aether eval`: our scaling beside that of others on real load traces, and the rules that such traces give."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from agent_api.cli.progress import StatusLine
from agent_api.cli.table import show, show_rows
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from controllers.scaling.tree import RuleTree
    from evals.scaling.conditions import Conditions
    from evals.scaling.study import Means, Row, Task
    from evals.scaling.traces import Trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    scaling = kinds.add_parser("scaling", help="policies on load traces: violations of the SLO, and cost")
    scaling.add_argument("--traces", type=Path, metavar="DIR", help="CSV files: timestamp,value in even steps")
    scaling.add_argument("--policies", default="", metavar="NAMES", help="with commas between; default all")
    scaling.add_argument("--days", type=float, metavar="N", help="only the last N days of each trace, two at least")
    scaling.add_argument("--scenario", default="default", metavar="NAME", help="how instances and metrics behave")
    scaling.add_argument(
        "--share-nodes", type=int, default=1, metavar="N", help="so many traces as slices on same nodes"
    )
    scaling.add_argument(
        "--unseen", action="store_true", help="ours with rules made without any trace of the same origin"
    )
    scaling.add_argument("--html", type=Path, metavar="FILE", help="a report with plots, in one file")
    scaling.add_argument("--seed", type=int, default=1, metavar="N", help="of arrivals and starts (default 1)")
    scaling.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at the same time")
    scaling.add_argument("--list", action="store_true", help="say which policies and scenarios there are, and end")
    scaling.add_argument("--json", action="store_true")
    rules = kinds.add_parser("rules", help="distil the tree of rules from what a clairvoyant would have done")
    rules.add_argument("--traces", type=Path, required=True, metavar="DIR")
    rules.add_argument("--out", type=Path, metavar="FILE", help="where to write it; default: print it for people")
    rules.add_argument("--leaves", type=int, default=64, metavar="N", help="at most (default 64)")
    rules.add_argument("--miss-price", type=float, metavar="P", help="of a shortage, in mean costs")
    rules.add_argument("--rows", type=int, metavar="N", help="of each trace, the last")
    rules.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="traces at the same time")
    replay = kinds.add_parser("replay", help="recorded decisions under another policy: what would have changed")
    replay.add_argument(
        "--from", type=Path, required=True, dest="source", metavar="FILE", help="of controller decisions"
    )
    replay.add_argument("--policy", type=Path, required=True, metavar="FILE", help="TOML: members that shall be others")
    replay.add_argument("--rules", type=Path, metavar="FILE", help="a tree of rules; default: the shipped one")
    replay.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 done, 1 refused, 2 wrong usage."""
    try:
        if arguments.kind == "rules":
            return _rules(arguments)
        if arguments.kind == "replay":
            return _replay(arguments)
        return _list() if arguments.list else _scaling(arguments)
    except RuntimeFault as fault:
        return report("eval", fault)


def _list() -> int:
    from evals.scaling.conditions import scenarios
    from evals.scaling.policies import contestants

    for name, each in contestants().items():
        print(f"{name:<20} {each.summary}")
    print()
    for name, conditions in scenarios().items():
        print(f"{name:<20} {_differences(conditions)}")
    return 0


def _differences(conditions: Conditions) -> str:
    usual = type(conditions)()
    found = [
        f"{each.name} {getattr(conditions, each.name)}"
        for each in fields(conditions)
        if getattr(conditions, each.name) != getattr(usual, each.name)
    ]
    return ", ".join(found) or "start_s 15 to 60, no limit of nodes, exact metrics, no failures"


def _rules(arguments: argparse.Namespace) -> int:
    import msgspec

    from controllers.scaling.tree import LEAVES_MAX, as_text
    from evals.scaling.distil import MISS_PRICE, ROWS, distil, gathered
    from evals.scaling.traces import read_traces

    miss_price = MISS_PRICE if arguments.miss_price is None else arguments.miss_price
    if not 2 <= arguments.leaves <= LEAVES_MAX or miss_price <= 0 or arguments.jobs < 1:
        print(f"aether eval: --leaves is 2 to {LEAVES_MAX}; --miss-price and --jobs are above 0", file=sys.stderr)
        return 2
    traces = [trace.last(arguments.rows or ROWS) for trace in read_traces(arguments.traces)]
    parts = [each for _, each in gathered(traces, jobs=arguments.jobs)]
    tree = distil(parts, leaves=arguments.leaves, miss_price=miss_price)
    if arguments.out is None:
        print(as_text(tree))
        return 0
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(tree), indent=1) + b"\n")
    print(f"{len(tree.nodes) // 2 + 1} leaves written to {arguments.out}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    import msgspec

    from controllers.scaling.tree import default_tree, parse_tree
    from evals.scaling.replay import read_policy, read_records, replay, summed

    tree = parse_tree(arguments.rules.read_bytes()) if arguments.rules else default_tree()
    found = replay([*read_records(arguments.source)], tree, read_policy(arguments.policy))
    summary = summed(found)
    changed = [msgspec.to_builtins(each) for each in found if each.is_changed]
    if arguments.json:
        print(json.dumps({"summary": msgspec.to_builtins(summary), "changed": changed}, indent=2))
        return 0
    if changed:
        show_rows(changed)
    print(
        f"{summary.changed} of {summary.records} decisions would have been others: {summary.more} instances more,"
        f" {summary.fewer} fewer; {summary.reproduced} came out again as they were recorded"
    )
    return 0


def _scaling(arguments: argparse.Namespace) -> int:
    from evals.scaling.conditions import scenario
    from evals.scaling.policies import chosen
    from evals.scaling.report import page
    from evals.scaling.service import ServiceModel
    from evals.scaling.study import means, ratios, study, tasks
    from evals.scaling.traces import DAYS_MIN, read_traces

    if arguments.traces is None or min(arguments.jobs, arguments.share_nodes) < 1 or (arguments.days or 2) < DAYS_MIN:
        print(f"aether eval: name --traces DIR; --jobs is 1 at least, --days {DAYS_MIN}", file=sys.stderr)
        return 2
    names = list(chosen(arguments.policies))
    whole = read_traces(arguments.traces)
    traces = [each.newest(arguments.days) if arguments.days else each for each in whole]
    with StatusLine(shown=True) as line:
        work = tasks(
            traces,
            names,
            seed=arguments.seed,
            service=ServiceModel(conditions=scenario(arguments.scenario)),
            shared_by=arguments.share_nodes,
            trees=_unseen(whole, arguments.jobs, line) if arguments.unseen else {},
            drawn=arguments.html is not None,
        )
        rows = study(work, jobs=arguments.jobs, told=_progress(line, len(work)))
    found = means(rows)
    pairs = ratios(found)
    if arguments.html is not None:
        arguments.html.write_text(page(rows, found, pairs, conditions=_in_words(arguments, len(traces))))
        print(f"report written to {arguments.html}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_document(rows, found, pairs), indent=2))
        return 0
    _table(found)
    for generator, pair in pairs.items():
        print(f"{generator}: " + ", ".join(f"{name} {value:.3f}" for name, value in pair.items()))
    return 0


def _unseen(traces: Sequence[Trace], jobs: int, line: StatusLine) -> dict[str, RuleTree]:
    from evals.scaling.distil import MISS_PRICE, ROWS
    from evals.scaling.study import unseen_trees

    line.say("rules are distilled without each origin")
    return unseen_trees([trace.last(ROWS) for trace in traces], miss_price=MISS_PRICE, jobs=jobs)


def _progress(line: StatusLine, count: int) -> Callable[[Task], None]:
    done = 0

    def told(task: Task) -> None:
        nonlocal done
        done += 1
        line.say(f"{done} of {count}: {task.traces[0].name} {task.generator} {task.policy}")

    return told


def _in_words(arguments: argparse.Namespace, traces: int) -> str:
    days = f"their last {arguments.days:g} days" if arguments.days else "all their days"
    rules = (
        "ours with rules made without any trace of the same origin" if arguments.unseen else "ours with its own rules"
    )
    shared = f", {arguments.share_nodes} slices on the same nodes" if arguments.share_nodes > 1 else ""
    return f"{traces} traces, {days}; seed {arguments.seed}; scenario {arguments.scenario}{shared}; {rules}."


def _document(rows: Sequence[Row], found: Sequence[Means], pairs: dict[str, dict[str, float]]) -> dict[str, object]:
    import msgspec

    return {
        "runs": [
            {"trace": row.trace, "policy": row.policy, "generator": row.generator, **msgspec.to_builtins(row.score)}
            for row in rows
        ],
        "means": msgspec.to_builtins(found),
        "ratios": pairs,
    }


def _table(found: Sequence[Means]) -> None:
    ordered = sorted(found, key=lambda each: (each.generator, each.violation_pct))
    show(
        [
            {
                "generator": each.generator,
                "policy": each.policy,
                "violated": f"{each.violation_pct:.3f}",
                "bad": f"{each.bad_request_pct:.2f}",
                "cost": f"{each.cost_vs_oracle:.3f}",
                "upsilon": f"{each.upsilon:.2f}",
                "flaps": f"{each.flaps:.0f}",
            }
            for each in ordered
        ],
        [
            ("GENERATOR", "generator"),
            ("POLICY", "policy"),
            ("VIOLATED %", "violated"),
            ("BAD %", "bad"),
            ("COST", "cost"),
            ("UPSILON", "upsilon"),
            ("FLAPS", "flaps"),
        ],
    )
