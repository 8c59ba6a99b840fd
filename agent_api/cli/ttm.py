"""`aether ttm train|export|upload|validate|backtest`: the forecaster's model, made, checked, judged, and sent."""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_api.cli.change import add_change_arguments, carry_out_by
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.parser import whole_number
from agent_api.cli.progress import StatusLine
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from controllers.ttm.corpus import Series
    from controllers.ttm.training.recipe import Recipe
    from evals.forecasts.backtest import Row
    from evals.scaling.traces import Trace

MODEL_HELP: Final = "a directory with model.onnx and model.json; default: the model that comes with the package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    train = actions.add_parser("train", help="make a model from traces and synthetic patterns (needs the extra train)")
    _training(train)
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where model.onnx and model.json go")
    export = actions.add_parser("export", help="copy a model and its card, once both are sound, to a directory")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    upload = actions.add_parser("upload", help="send a model and its card to the cluster; ttm activate then chooses it")
    upload.add_argument("model", type=Path, metavar="DIR", help="a directory with model.onnx and model.json")
    add_change_arguments(upload)
    add_api_arguments(upload)
    validate = actions.add_parser("validate", help="ask a model about loads that are hard for models, and measure it")
    backtest = actions.add_parser("backtest", help="forecasts at many moments of traces beside those of other methods")
    _training(backtest)
    backtest.add_argument("--held-back", action="store_true", help="only the last part, which training does not learn")
    backtest.add_argument("--methods", default="", metavar="NAMES", help="with commas between; default all there are")
    backtest.add_argument("--moments", type=whole_number(1), default=60, metavar="N", help="of each trace (default 60)")
    backtest.add_argument(
        "--leave-one-out", action="store_true", help="judge each origin's traces with a model made without that origin"
    )
    backtest.add_argument("--keep", type=Path, metavar="DIR", help="where the models of --leave-one-out go, by origin")
    coverage = actions.add_parser("coverage", help="how much of traces' load calibrated 90 % bands cover, by horizon")
    _traces(coverage)
    for each in (export, validate, backtest, coverage):
        each.add_argument("--model", type=Path, metavar="DIR", help=MODEL_HELP)
    for each in (train, upload, validate, backtest, coverage):
        each.add_argument("--json", action="store_true")


def _traces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--traces", type=Path, metavar="DIR", help="CSV files: timestamp,value in even steps")
    parser.add_argument("--minutes", type=Path, metavar="FILE", help="CSV that `aether controller training-data` wrote")


def _training(parser: argparse.ArgumentParser) -> None:
    _traces(parser)
    parser.add_argument("--quick", action="store_true", help="a few steps: shows that training runs, not a good model")
    parser.add_argument("--steps", type=whole_number(1), metavar="N", help="of learning, instead of the usual number")
    parser.add_argument("--seed", type=whole_number(0), default=1, metavar="N", help="default 1")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 done, 1 refused or a model that must not be used, 2 wrong usage."""
    if "traces" in arguments and arguments.traces is None and arguments.minutes is None:
        print(f"aether ttm {arguments.action}: name --traces DIR or --minutes FILE, or both", file=sys.stderr)
        return 2
    actions = {
        "train": _train,
        "export": _export,
        "upload": _upload,
        "validate": _validate,
        "backtest": _backtest,
        "coverage": _coverage,
    }
    action = actions[arguments.action]
    try:
        return action(arguments)
    except RuntimeFault as fault:
        return report(f"ttm {arguments.action}", fault)


def _train(arguments: argparse.Namespace) -> int:
    if not _can_train():
        return 2
    import msgspec

    from controllers.ttm.card import write_model
    from controllers.ttm.training.making import make

    recipe = _recipe(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)  # before minutes of work that could not be written
    traces = _loads(arguments)
    with StatusLine(shown=True) as status:
        made = make(traces, recipe, command=_command(arguments), told=_learning(status, recipe.steps))
    write_model(arguments.out, made.graph, made.card)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(made.card), indent=2))
        return 0
    quality = made.card.quality
    print(f"{arguments.out / 'model.onnx'}: {len(made.graph)} bytes, {made.card.parameters} parameters")
    print(
        f"held back: weighted quantile loss {quality.weighted_quantile_loss:.4f},"
        f" {quality.coverage_90:.1%} of loads inside the 90 % band ({quality.windows} windows)"
    )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from controllers.ttm.card import SHIPPED, read_model, write_model
    from controllers.ttm.forecaster import load_forecaster

    directory = arguments.model or SHIPPED
    load_forecaster(directory)
    graph, card = read_model(directory)
    write_model(arguments.out, graph, card)
    print(f"{arguments.out / 'model.onnx'}: opset {card.opset}, SHA-256 {card.sha256}")
    return 0


def _upload(arguments: argparse.Namespace) -> int:
    """The cluster asks it all that `validate` does; what is wrong with the files is said here."""
    from controllers.ttm.card import card_of, read_files
    from controllers.ttm.model_file import pack_model

    card, graph = read_files(arguments.model)
    card_of(graph, card)
    with tempfile.TemporaryDirectory() as directory, client_of(arguments) as client:
        packed = Path(directory) / "model"
        packed.write_bytes(pack_model(graph, card))
        send = functools.partial(client.upload_model, packed)
        return carry_out_by(send, {}, arguments, may_repeat=False)


def _validate(arguments: argparse.Namespace) -> int:
    import msgspec

    from controllers.ttm.card import SHIPPED
    from controllers.ttm.forecaster import load_forecaster
    from controllers.ttm.validation import MANY, validate

    forecaster = load_forecaster(arguments.model or SHIPPED)
    found = validate(forecaster)
    if arguments.json:
        print(json.dumps({**msgspec.to_builtins(found), "card": msgspec.to_builtins(forecaster.card)}, indent=2))
    else:
        print(f"{forecaster.card.sha256[:12]}, {forecaster.card.parameters} parameters, opset {forecaster.card.opset}")
        print(f"one series {found.one_series_ms:.3f} ms, {MANY} series {found.many_series_ms:.3f} ms, on one thread")
        print(f"{found.probes} probes, {len(found.failures)} failed")
        for failure in found.failures:
            print(f"  {failure}")
    return 1 if found.failures else 0


def _backtest(arguments: argparse.Namespace) -> int:
    if arguments.leave_one_out and arguments.traces is None:
        print("aether ttm backtest: --leave-one-out needs --traces DIR", file=sys.stderr)
        return 2
    if arguments.leave_one_out and not _can_train():
        return 2
    rows, missing = _judged(arguments)
    if missing:
        print(
            f"aether ttm: without {', '.join(missing)}: they need statsforecast, which is not installed",
            file=sys.stderr,
        )
    if arguments.json:
        import msgspec

        from evals.forecasts.backtest import summary

        print(json.dumps({"rows": msgspec.to_builtins(rows), "summary": msgspec.to_builtins(summary(rows))}, indent=2))
    else:
        _table(rows)
    return 0


def _coverage(arguments: argparse.Namespace) -> int:
    """Exit code 1 where a trace's bands do not keep their word."""
    from agent_api.cli.ttm_coverage import show_coverage
    from controllers.ttm.card import SHIPPED
    from controllers.ttm.engine import AskedModel
    from controllers.ttm.forecaster import load_forecaster
    from evals.forecasts.coverage import coverage

    model = AskedModel(load_forecaster(arguments.model or SHIPPED))
    found = []
    with StatusLine(shown=True) as status:
        for trace in _loads(arguments):
            status.say(f"following {trace.name}")
            found.append(coverage(trace, model))
    show_coverage(found, as_json=arguments.json)
    return 0 if all(each.within for each in found) else 1


def _judged(arguments: argparse.Namespace) -> tuple[list[Row], tuple[str, ...]]:
    from controllers.ttm.card import SHIPPED
    from controllers.ttm.corpus import HELD_BACK
    from controllers.ttm.forecaster import load_forecaster
    from evals.forecasts.backtest import backtest
    from evals.forecasts.contestants import contestants

    with StatusLine(shown=True) as status:
        if arguments.leave_one_out:
            return _left_out(arguments, _read(arguments.traces), status)
        asked = contestants(load_forecaster(arguments.model or SHIPPED), arguments.methods)
        rows = backtest(
            _loads(arguments),
            dict(asked.methods),
            moments=arguments.moments,
            last_share=HELD_BACK if arguments.held_back else 1.0,
            told=_judging(status),
        )
        return rows, asked.missing


def _left_out(
    arguments: argparse.Namespace, traces: Sequence[Trace], status: StatusLine
) -> tuple[list[Row], tuple[str, ...]]:
    """Each origin's traces under a model that never saw that origin."""
    from controllers.ttm.card import write_model
    from controllers.ttm.forecaster import forecaster_of
    from controllers.ttm.training.making import make
    from evals.forecasts.backtest import backtest
    from evals.forecasts.contestants import contestants
    from evals.scaling.unseen import folder_of

    rows: list[Row] = []
    missing: tuple[str, ...] = ()
    recipe = _recipe(arguments)
    for origin in sorted({each.origin for each in traces}):
        others = [_series(each) for each in traces if each.origin != origin]
        theirs = [_series(each) for each in traces if each.origin == origin]
        made = make(
            others,
            recipe,
            command=f"{_command(arguments)}, without {origin}",
            told=_learning(status, recipe.steps, f"without {origin}: "),
        )
        if arguments.keep is not None:
            write_model(arguments.keep / folder_of(origin), made.graph, made.card)
        asked = contestants(forecaster_of(made.graph, made.card), arguments.methods)
        rows += backtest(theirs, dict(asked.methods), moments=arguments.moments, told=_judging(status))
        missing = asked.missing
    return rows, missing


def _loads(arguments: argparse.Namespace) -> list[Series]:
    """Raises TrainingDataUnusable, TracesUnusable."""
    own = [] if arguments.minutes is None else _minutes(arguments.minutes)
    return own if arguments.traces is None else [_series(each) for each in _read(arguments.traces)] + own


def _minutes(file: Path) -> list[Series]:
    """A cluster's slices without those that are too young: one that came yesterday does not keep the others from being
    learnt. Raises TrainingDataUnusable."""
    from controllers.ttm.corpus import DAYS_MIN
    from controllers.ttm.minutes import read_minutes

    found = read_minutes(file)
    young = [each for each in found if each.days < DAYS_MIN]
    if young and len(young) < len(found):
        names = ", ".join(f"{each.name} ({each.days:.1f})" for each in young)
        print(f"aether ttm: left out, as fewer than {DAYS_MIN} days of them are known: {names}", file=sys.stderr)
        return [each for each in found if each not in young]
    return found


def _can_train() -> bool:
    from importlib.util import find_spec

    if find_spec("torch") is not None and find_spec("onnx") is not None:
        return True
    print("aether ttm: this needs PyTorch: install the extra, `.venv/bin/pip install -e .[train]`", file=sys.stderr)
    return False


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from dataclasses import replace

    from controllers.ttm.training.recipe import FULL, QUICK

    usual = replace(QUICK if arguments.quick else FULL, seed=arguments.seed)
    return usual if arguments.steps is None else replace(usual, steps=arguments.steps)


def _command(arguments: argparse.Namespace) -> str:
    """What makes the same model again, but for where things lie."""
    words = ["./aether ttm train"]
    words += ["--traces DIR"] if arguments.traces is not None else []
    words += ["--minutes FILE"] if arguments.minutes is not None else []
    words += ["--out DIR"]
    words += ["--quick"] if arguments.quick else []
    words += [f"--steps {arguments.steps}"] if arguments.steps is not None else []
    return " ".join([*words, f"--seed {arguments.seed}"])


def _read(directory: Path) -> tuple[Trace, ...]:
    from evals.scaling.traces import read_traces

    return read_traces(directory)


def _series(trace: Trace) -> Series:
    from controllers.ttm.corpus import Series

    return Series(name=trace.name, load=trace.load, season=trace.season)


def _learning(status: StatusLine, steps: int, prefix: str = "") -> Callable[[int, float], None]:
    from agent_api.cli.progress import BAR_CELLS

    def told(step: int, loss: float) -> None:
        filled = BAR_CELLS * step // steps
        bar = "█" * filled + "·" * (BAR_CELLS - filled)
        status.say(f"{prefix}{bar} step {step} of {steps}, loss {loss:.4f}")

    return told


def _judging(status: StatusLine) -> Callable[[Row], None]:
    return lambda row: status.say(f"{row.trace}: {row.method}")


def _table(rows: Sequence[Row]) -> None:
    from evals.forecasts.backtest import summary

    print(f"{'TRACE':<32} {'METHOD':<15} {'MASE':>8} {'WQL':>8} {'IN 90 %':>8} {'MS':>9}")
    for row in sorted(rows, key=lambda each: (each.trace, each.weighted_quantile_loss)):
        print(
            f"{row.trace:<32} {row.method:<15} {row.mase:>8.3f} {row.weighted_quantile_loss:>8.4f}"
            f" {row.coverage_90:>8.1%} {row.ms_per_series:>9.3f}"
        )
    found = summary(rows)
    if found.mean is not None:
        print(f"loss over that of the best of AutoARIMA, Theta and ETS, mean of all traces: {found.mean:.3f}")
