"""`aether eval ops`: scenarios with real faults in a Forge, asked about over HTTP."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_api.cli.eval_voices import EMBEDDED, add_voice_arguments, voices
from agent_api.cli.forge import ROOT
from agent_api.cli.parser import file_to_write, whole_number
from agent_api.cli.progress import StatusLine
from agent_api.cli.table import show_json, show_rows

if TYPE_CHECKING:
    from evals.scenarios.document import Scenario
    from evals.scenarios.report import Report
    from evals.scenarios.voices import Voice

TROUBLE: Final = ROOT / "examples" / "trouble"


def add_ops_arguments(parser: argparse.ArgumentParser) -> None:
    add_voice_arguments(parser)
    parser.add_argument("--runs", type=whole_number(1), default=1, metavar="N", help="how often each (default 1)")
    parser.add_argument("--scenarios", type=Path, metavar="DIR", help="folders with scenario.toml; default: ours")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only this one; may be given again")
    parser.add_argument("--tuned", action="store_true", help="leave out those that are held out while rules are tuned")
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live, kept for a look afterwards")
    parser.add_argument("--html", type=file_to_write, metavar="FILE", help="a report in one file")
    parser.add_argument("--json", action="store_true")


def run_ops(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 played, and nothing forbidden was done; 1 otherwise. Raises RuntimeFault."""
    from evals.scenarios.report import page

    scenarios = _chosen(arguments)
    if arguments.list:
        for each in scenarios:
            mark = "control" if each.is_control else ", ".join(each.levels)
            print(f"{each.id:<26} {mark:<44} {each.document.summary}")
        return 0
    report = _played(
        scenarios,
        provider=arguments.provider,
        voices=voices(arguments),
        runs=arguments.runs,
        state=arguments.state,
    )
    if arguments.html is not None:
        arguments.html.write_text(page(report))
    if arguments.json:
        show_json(report.document())
    else:
        print("\n".join(report.lines()))
        show_rows(report.table())
    return 0 if report.passed else 1


def _chosen(arguments: argparse.Namespace) -> list[Scenario]:
    """Raises ScenarioInvalid."""
    from evals.scenarios.document import ScenarioInvalid, read_scenarios, shipped
    from runtime.spelling import nearest

    found = {each.id: each for each in read_scenarios(arguments.scenarios)}
    for name in arguments.only:
        if name not in found:
            where = arguments.scenarios or shipped()
            raise ScenarioInvalid(where, f"no scenario {name!r}{nearest(name, found)}", remedy="List them: --list.")
    chosen = [found[each] for each in arguments.only] or list(found.values())
    return [each for each in chosen if not (arguments.tuned and each.document.held_out)]


def play_shuffled(seed: int, *, runs: int, state: Path | None) -> Report:
    """All that are shipped, answered by rules, in an order of the seed's: none may lean on the one before."""
    import random

    from evals.scenarios.document import read_scenarios
    from evals.scenarios.voices import EMBEDDED as RULES

    scenarios = read_scenarios()
    random.Random(seed).shuffle(scenarios)  # noqa: S311  repeatable, nothing secret
    return _played(scenarios, provider=EMBEDDED, voices=(RULES,), runs=runs, state=state)


def _played(
    scenarios: list[Scenario], *, provider: str, voices: Sequence[Voice], runs: int, state: Path | None
) -> Report:
    """All of it by each voice, on clusters of its own."""
    import anyio

    from evals.scenarios.report import Report
    from evals.scenarios.run import play_all

    with StatusLine(shown=True) as line:

        def ended(words: str) -> None:
            line.clear()
            print(words, file=sys.stderr, flush=True)

        async def played() -> Report:
            outcomes = []
            for voice in voices:
                line.say(f"answered by {voice.name}")
                outcomes += await play_all(
                    scenarios, voice=voice, runs=runs, apps=(TROUBLE,), state=state, progress=line.say, ended=ended
                )
            at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
            return Report(provider=provider, at=at, commit=_commit(), runs=runs, outcomes=tuple(outcomes))

        return anyio.run(played, backend_options={"use_uvloop": True})


def _commit() -> str:
    """Of the source that is measured; "unknown" for a package."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=7"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
