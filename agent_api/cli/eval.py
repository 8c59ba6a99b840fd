"""`aether eval`: our scaling beside that of others on real load traces, the rules that such traces give, how well
sentences are understood, and what is found of real faults."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent_api.cli.eval_attacks import add_attack_arguments, run_attacks
from agent_api.cli.eval_ops import add_ops_arguments, run_ops
from agent_api.cli.failure import report
from agent_api.cli.parser import file_to_write, whole_number
from agent_api.cli.progress import StatusLine
from agent_api.cli.table import show, show_rows
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.scaling.conditions import Conditions
    from evals.scaling.study import Means, Row, Task
    from evals.scaling.targets import Target
    from evals.scaling.traces import Trace
    from evals.scaling.unseen import Rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    scaling = kinds.add_parser("scaling", help="policies on load traces: violations of the SLO, and cost")
    scaling.add_argument("--traces", type=Path, metavar="DIR", help="CSV files: timestamp,value in even steps")
    scaling.add_argument("--policies", default="", metavar="NAMES", help="with commas between; default all")
    scaling.add_argument("--days", type=float, metavar="N", help="only the last N days of each trace, two at least")
    scaling.add_argument("--scenario", default="default", metavar="NAME", help="how instances and metrics behave")
    scaling.add_argument(
        "--share-nodes", type=whole_number(1), default=1, metavar="N", help="so many traces as slices on same nodes"
    )
    scaling.add_argument(
        "--unseen", action="store_true", help="ours with rules made without any trace of the same origin"
    )
    scaling.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="of each origin a model of layer 2 that never saw it; --unseen makes missing ones (extra `train`)",
    )
    scaling.add_argument("--html", type=file_to_write, metavar="FILE", help="a report with plots, in one file")
    scaling.add_argument(
        "--seed", type=whole_number(0), default=1, metavar="N", help="of arrivals and starts (default 1)"
    )
    scaling.add_argument(
        "--jobs", type=whole_number(1), default=os.cpu_count() or 1, metavar="N", help="runs at the same time"
    )
    scaling.add_argument("--list", action="store_true", help="say which policies and scenarios there are, and end")
    scaling.add_argument("--json", action="store_true")
    rules = kinds.add_parser("rules", help="distil the tree of rules from what a clairvoyant would have done")
    rules.add_argument(
        "--traces", type=Path, required=True, metavar="DIR", help="CSV files: timestamp,value in even steps"
    )
    rules.add_argument(
        "--out", type=file_to_write, metavar="FILE", help="where to write it; default: print it for people"
    )
    rules.add_argument(
        "--boosted", type=file_to_write, metavar="FILE", help="where the model that corrects them goes (extra `train`)"
    )
    rules.add_argument("--models", type=Path, metavar="DIR", help="of each origin a model of layer 2 that never saw it")
    rules.add_argument("--leaves", type=whole_number(2), default=64, metavar="N", help="at most (default 64)")
    rules.add_argument("--miss-price", type=float, metavar="P", help="of a shortage, in mean costs")
    rules.add_argument("--rows", type=whole_number(1), metavar="N", help="of each trace, the last")
    rules.add_argument(
        "--jobs", type=whole_number(1), default=os.cpu_count() or 1, metavar="N", help="traces at the same time"
    )
    replay = kinds.add_parser("replay", help="recorded decisions under another policy: what would have changed")
    replay.add_argument(
        "--from", type=Path, required=True, dest="source", metavar="FILE", help="of controller decisions"
    )
    replay.add_argument("--policy", type=Path, required=True, metavar="FILE", help="TOML: members that shall be others")
    replay.add_argument("--rules", type=Path, metavar="FILE", help="a tree of rules; default: the shipped one")
    replay.add_argument("--json", action="store_true")
    _add_answers(kinds)


def _add_answers(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Of the layer that people talk to."""
    router = kinds.add_parser("router", help="sentences to operations without a model: found, missed, wrongly shown")
    router.add_argument("--sentences", type=Path, metavar="FILE", help="JSON lines: text, lang, operation, params")
    router.add_argument("--letters-only", action="store_true", help="without the embedding model")
    router.add_argument(
        "--write-fitted",
        action="store_true",
        help="for developers: fit to the training sentences anew, and end",
    )
    router.add_argument("--wrong", action="store_true", help="list what was not understood")
    router.add_argument("--json", action="store_true")
    word = kinds.add_parser("first-word", help="from a provider's first token to the first word that is shown")
    word.add_argument("--turns", type=whole_number(1), default=20, metavar="N", help="of each API (default 20)")
    word.add_argument(
        "--pace-ms", type=whole_number(0), default=15, metavar="N", help="a piece of two tokens each (default 15)"
    )
    word.add_argument("--json", action="store_true")
    session = kinds.add_parser("session", help="a recorded conversation through the same graphs, without any network")
    session.add_argument("file", type=Path, metavar="FILE", help="of a node's directory recordings/")
    session.add_argument("--json", action="store_true")
    add_attack_arguments(kinds.add_parser("attacks", help="texts that try to steer answers, in a Forge"))
    add_ops_arguments(kinds.add_parser("ops", help="real faults in a Forge: found, placed, explained, mended"))


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 done, 1 refused, 2 wrong usage."""
    try:
        if arguments.kind == "rules":
            return _rules(arguments)
        if arguments.kind == "replay":
            return _replay(arguments)
        if arguments.kind == "router":
            from agent_api.cli.eval_router import run_router

            return run_router(arguments)
        if arguments.kind == "first-word":
            from agent_api.cli.eval_first_word import run_first_word

            return run_first_word(arguments)
        if arguments.kind == "session":
            from agent_api.cli.eval_session import run_session

            return run_session(arguments)
        if arguments.kind == "ops":
            return run_ops(arguments)
        if arguments.kind == "attacks":
            return run_attacks(arguments)
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
    from evals.scaling import boosting
    from evals.scaling.distil import MISS_PRICE, ROWS, distil, gathered
    from evals.scaling.traces import read_traces
    from evals.scaling.unseen import model_for

    miss_price = MISS_PRICE if arguments.miss_price is None else arguments.miss_price
    if arguments.leaves > LEAVES_MAX or not miss_price > 0:
        print(f"aether eval rules: --leaves is 2 to {LEAVES_MAX}; --miss-price is above 0", file=sys.stderr)
        return 2
    if arguments.boosted is not None and not boosting.can_export():
        print("aether eval rules: --boosted needs `.venv/bin/pip install -e .[train]`", file=sys.stderr)
        return 2
    traces = [trace.last(arguments.rows or ROWS) for trace in read_traces(arguments.traces)]
    parts = [each for _, each in gathered(traces, jobs=arguments.jobs, models=model_for(arguments.models))]
    if arguments.boosted is not None:
        name = f"{boosting.TREES} trees from {len(traces)} traces"
        written = arguments.boosted.write_bytes(boosting.as_onnx(boosting.fit(parts), name))
        print(f"{written} bytes written to {arguments.boosted}", file=sys.stderr)
    tree = distil(parts, leaves=arguments.leaves, miss_price=miss_price)
    if arguments.out is None:
        print(as_text(tree))
        return 0
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(tree), indent=1) + b"\n")
    print(f"{len(tree.nodes) // 2 + 1} leaves written to {arguments.out}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    import msgspec

    from controllers.scaling.replaying import Variant, replay, summed
    from controllers.scaling.tree import default_tree, parse_tree
    from evals.scaling.replay import read_policy, read_records

    tree = parse_tree(arguments.rules.read_bytes()) if arguments.rules else default_tree()
    found = replay([*read_records(arguments.source)], tree, Variant(members=read_policy(arguments.policy)))
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
    from evals.scaling.targets import targets
    from evals.scaling.traces import DAYS_MIN, read_traces
    from evals.scaling.unseen import lineup

    if arguments.traces is None:
        print("aether eval scaling: name --traces DIR", file=sys.stderr)
        return 2
    if arguments.days is not None and not arguments.days >= DAYS_MIN:
        print(f"aether eval scaling: --days is {DAYS_MIN} at least: the first is only looked at", file=sys.stderr)
        return 2
    names = list(chosen(arguments.policies))
    whole = read_traces(arguments.traces)
    traces = [each.newest(arguments.days) if arguments.days else each for each in whole]
    with StatusLine(shown=True) as line, TemporaryDirectory() as made_here:
        if arguments.unseen and arguments.models is not None:
            _make_models(whole, arguments.models, line)
        rules = _unseen(whole, arguments, Path(made_here), line) if arguments.unseen else {}
        ours = lineup(traces, models=arguments.models, rules=rules, unseen=arguments.unseen)
        work = tasks(
            traces,
            names,
            seed=arguments.seed,
            service=ServiceModel(conditions=scenario(arguments.scenario)),
            shared_by=arguments.share_nodes,
            made=ours.made,
            drawn=arguments.html is not None,
        )
        rows = study(work, jobs=arguments.jobs, told=_progress(line, len(work)))
    for note in ours.notes:
        print(f"note: {note}", file=sys.stderr)
    found = means(rows)
    pairs = ratios(found)
    if arguments.html is not None:
        arguments.html.write_text(page(rows, found, pairs, conditions=_in_words(arguments, len(traces), ours.notes)))
        print(f"report written to {arguments.html}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_document(rows, found, pairs, ours.notes), indent=2))
        return 0
    _table(found)
    _targets(targets(rows, found))
    for generator, pair in pairs.items():
        print(f"{generator}: " + ", ".join(f"{name} {value:.3f}" for name, value in pair.items()))
    return 0


def _make_models(traces: Sequence[Trace], models: Path, line: StatusLine) -> None:
    """Those of layer 2 that are missing, where they can be made."""
    from evals.forecasts.left_out import STEPS, can_train, make_missing

    if can_train():
        make_missing(
            traces,
            models,
            told=lambda origin, step, loss: line.say(f"{step} of {STEPS}: without {origin}, loss {loss:.4f}"),
        )


def _unseen(traces: Sequence[Trace], arguments: argparse.Namespace, into: Path, line: StatusLine) -> dict[str, Rules]:
    from evals.scaling.distil import ROWS
    from evals.scaling.unseen import unseen_rules

    whole = [trace.last(ROWS) for trace in traces]
    return unseen_rules(whole, into, models=arguments.models, jobs=arguments.jobs, told=line.say)


def _progress(line: StatusLine, count: int) -> Callable[[Task], None]:
    done = 0

    def told(task: Task) -> None:
        nonlocal done
        done += 1
        line.say(f"{done} of {count}: {task.traces[0].name} {task.generator} {task.policy}")

    return told


def _in_words(arguments: argparse.Namespace, traces: int, notes: Sequence[str]) -> str:
    days = f"their last {arguments.days:g} days" if arguments.days else "all their days"
    rules = (
        "ours with rules made without any trace of the same origin" if arguments.unseen else "ours with its own rules"
    )
    shared = f", {arguments.share_nodes} slices on the same nodes" if arguments.share_nodes > 1 else ""
    stood_in = "".join(f" {note}." for note in notes)
    return f"{traces} traces, {days}; seed {arguments.seed}; scenario {arguments.scenario}{shared}; {rules}.{stood_in}"


def _document(
    rows: Sequence[Row], found: Sequence[Means], pairs: dict[str, dict[str, float]], notes: Sequence[str]
) -> dict[str, object]:
    import msgspec

    from evals.scaling.targets import targets

    return {
        "runs": [
            {"trace": row.trace, "policy": row.policy, "generator": row.generator, **msgspec.to_builtins(row.score)}
            for row in rows
        ],
        "means": msgspec.to_builtins(found),
        "ratios": pairs,
        "targets": [{**msgspec.to_builtins(each), "verdict": each.verdict} for each in targets(rows, found)],
        "notes": [*notes],
    }


def _targets(found: Sequence[Target]) -> None:
    columns = [("GENERATOR", "generator"), ("TARGET", "name"), ("VALUE", "value"), ("MUST", "must"), ("AIM", "aim")]
    show(
        [
            {
                "generator": each.generator,
                "name": each.name,
                "value": f"{each.value:.3f}",
                "must": "" if each.must is None else f"{each.must:g}",
                "aim": "" if each.aim is None else f"{each.aim:g}",
                "verdict": each.verdict,
            }
            for each in found
        ],
        [*columns, ("", "verdict")],
    )


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
