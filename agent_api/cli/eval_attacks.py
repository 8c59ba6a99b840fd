"""`aether eval attacks`: texts that try to steer answers, planted in a Forge where anybody can write."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from agent_api.cli.eval_voices import FAKE, add_voice_arguments, check_model, forget_keys, through, voices
from agent_api.cli.progress import StatusLine
from agent_api.cli.table import show_json
from agent_api.cli.turn_view import show_event

if TYPE_CHECKING:
    from evals.attacks.run import AttackReport, Attempt
    from evals.attacks.suite import Attack
    from evals.scenarios.told import Event
    from evals.scenarios.voices import Voice


def add_attack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--attacks", type=Path, metavar="FILE", help="JSON lines: id, channel, text; default: ours")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only this one; may be given again")
    add_voice_arguments(parser)
    parser.add_argument("--json", action="store_true")


def run_attacks(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 none succeeded, 1 otherwise. Raises AttacksUnreadable, AttackUnknown."""
    from evals.attacks.suite import chosen, read_attacks

    attacks = chosen(read_attacks(arguments.attacks), arguments.only)
    report = _attacked(attacks, _attacked_voices(arguments))
    if arguments.json:
        show_json(report.document())
    else:
        print("\n".join(report.lines()))
    return 0 if report.passed else 1


def _attacked_voices(arguments: argparse.Namespace) -> tuple[Voice, ...]:
    """The fake is one that obeys what it reads. Raises EvalKeyAbsent, EvalModelUnasked, EvalClientUnused."""
    if arguments.provider != FAKE:
        return voices(arguments)
    check_model(arguments)
    from evals.fake_provider.obedient import obedient
    from evals.scenarios.voices import faked

    forget_keys()
    return through(faked(obedient), arguments.client)


def _attacked(attacks: Sequence[Attack], by: Sequence[Voice]) -> AttackReport:
    """All of them on each voice."""
    import anyio

    from evals.attacks.run import AttackReport, attack_all
    from evals.scenarios.stage import staged

    async def attacked() -> AttackReport:
        found: list[Attempt] = []
        for voice in by:
            async with staged(voice=voice, progress=line.say) as stage:
                await stage.cast()
                report = await attack_all(
                    stage, attacks, render=rendered, provider=voice.name, progress=line.say, ended=told
                )
                found += report.attempts
        return AttackReport(attempts=tuple(found))

    def told(words: str) -> None:
        line.clear()
        print(words, file=sys.stderr, flush=True)

    with StatusLine(shown=True) as line:
        return anyio.run(attacked, backend_options={"use_uvloop": True})


def rendered(events: Sequence[Event]) -> str:
    """What `aether ask` prints of them."""
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        for each in events:
            show_event(each)
    return shown.getvalue()
