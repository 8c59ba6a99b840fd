"""`aether eval`: our scaling beside that of others on real load traces, and the rules that such traces give."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent_api.cli.failure import report
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.scaling.study import Means, Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    scaling = kinds.add_parser("scaling", help="policies on load traces: violations of the SLO, and cost")
    scaling.add_argument("--traces", type=Path, metavar="DIR", help="CSV files: timestamp,value in even steps")
    scaling.add_argument("--policies", default="", metavar="NAMES", help="with commas between; default all")
    scaling.add_argument("--days", type=float, metavar="N", help="only the last N days of each trace, two at least")
    scaling.add_argument("--seed", type=int, default=1, metavar="N", help="of arrivals and starts (default 1)")
    scaling.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at the same time")
    scaling.add_argument("--list", action="store_true", help="say which policies there are, and end")
    scaling.add_argument("--json", action="store_true")
    rules = kinds.add_parser("rules", help="distil the tree of rules from what a clairvoyant would have done")
    rules.add_argument("--traces", type=Path, required=True, metavar="DIR")
    rules.add_argument("--out", type=Path, metavar="FILE", help="where to write it; default: print it for people")
    rules.add_argument("--leaves", type=int, default=64, metavar="N", help="at most (default 64)")
    rules.add_argument("--quantile", type=float, default=0.9, metavar="Q", help="of what was right (default 0.9)")
    rules.add_argument("--days", type=float, default=9.0, metavar="N", help="of each trace, the last (default 9)")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 done, 1 refused, 2 wrong usage."""
    try:
        if arguments.kind == "rules":
            return _rules(arguments)
        return _list() if arguments.list else _scaling(arguments)
    except RuntimeFault as fault:
        return report("eval", fault)


def _list() -> int:
    from evals.scaling.policies import contestants

    for name, each in contestants().items():
        print(f"{name:<16} {each.summary}")
    return 0


def _rules(arguments: argparse.Namespace) -> int:
    import msgspec

    from controllers.scaling.tree import LEAVES_MAX, as_text
    from evals.scaling.arrivals import Generator
    from evals.scaling.distil import LAYER_1, distil, samples
    from evals.scaling.service import ServiceModel
    from evals.scaling.traces import read_traces

    if not 2 <= arguments.leaves <= LEAVES_MAX or not 0.0 < arguments.quantile < 1.0:
        print(f"aether eval: --leaves is 2 to {LEAVES_MAX}, --quantile between 0 and 1", file=sys.stderr)
        return 2
    traces = [trace.newest(arguments.days) for trace in read_traces(arguments.traces)]
    parts = (samples(trace, ServiceModel(), generator, 1) for trace in traces for generator in Generator)
    tree = distil(parts, leaves=arguments.leaves, quantile=arguments.quantile, columns=LAYER_1)
    if arguments.out is None:
        print(as_text(tree))
        return 0
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(tree), indent=1) + b"\n")
    print(f"{len(tree.nodes) // 2 + 1} leaves written to {arguments.out}")
    return 0


def _scaling(arguments: argparse.Namespace) -> int:
    from evals.scaling.policies import chosen
    from evals.scaling.service import ServiceModel
    from evals.scaling.study import means, ratios, study, tasks
    from evals.scaling.traces import DAYS_MIN, read_traces

    if arguments.traces is None or arguments.jobs < 1 or (arguments.days or DAYS_MIN) < DAYS_MIN:
        print(f"aether eval: name --traces DIR; --jobs is 1 at least, --days {DAYS_MIN}", file=sys.stderr)
        return 2
    names = list(chosen(arguments.policies))
    traces = [each.newest(arguments.days) if arguments.days else each for each in read_traces(arguments.traces)]
    work = tasks(traces, names, seed=arguments.seed, service=ServiceModel())
    rows = study(work, jobs=arguments.jobs, told=_progress(len(work)))
    found = means(rows)
    if arguments.json:
        print(json.dumps(_document(rows, found, ratios(found)), indent=2))
    else:
        _table(found)
        for generator, pair in ratios(found).items():
            print(f"{generator}: " + ", ".join(f"{name} {value:.2f}" for name, value in pair.items()))
    return 0


def _progress(count: int) -> Callable[[Row], None]:
    done = 0

    def told(row: Row) -> None:
        nonlocal done
        done += 1
        line = f"{done}/{count}  {row.trace} {row.generator} {row.policy}"
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{line:<76}", file=sys.stderr, end=end if done < count else "\n", flush=True)

    return told


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
    print(f"{'GENERATOR':<10} {'POLICY':<16} {'VIOLATED %':>10} {'BAD %':>8} {'COST':>7} {'UPSILON':>8} {'FLAPS':>7}")
    for each in sorted(found, key=lambda row: (row.generator, row.violation_pct)):
        print(
            f"{each.generator:<10} {each.policy:<16} {each.violation_pct:>10.3f} {each.bad_request_pct:>8.2f}"
            f" {each.cost_vs_oracle:>7.3f} {each.upsilon:>8.2f} {each.flaps:>7.0f}"
        )
