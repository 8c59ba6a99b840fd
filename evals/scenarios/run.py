"""Scenarios, one after the other, on clusters that are used again where they were given back clean."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from evals.forge.errors import ForgeFault
from evals.scenarios.document import Scenario
from evals.scenarios.grading import Outcome
from evals.scenarios.playing import Playing
from evals.scenarios.stage import Progress, Stage, staged
from evals.scenarios.voices import EMBEDDED, Voice

BEGIN_TRIES: Final = 3


async def play_all(
    scenarios: Sequence[Scenario],
    *,
    voice: Voice = EMBEDDED,
    runs: int = 1,
    apps: tuple[Path, ...] = (),
    state: Path | None = None,
    progress: Progress = lambda line: None,
    ended: Progress = lambda line: None,
) -> list[Outcome]:
    """Every scenario so often. A cluster that does not come clean is put away, and the next one is begun on another."""
    plays = [(run, each) for run in range(1, runs + 1) for each in scenarios]
    found: list[Outcome] = []
    while len(found) < len(plays):
        async with AsyncExitStack() as stack:
            progress(f"{len(found)} of {len(plays)}: beginning a cluster")
            stage = await _begun(stack, voice, apps, state, progress)
            for run, scenario in plays[len(found) :]:
                progress(f"{len(found)} of {len(plays)}: {scenario.id}")
                found.append(await Playing(stage, scenario, progress, provider=voice.name).play(run))
                ended(in_words(found[-1]))
                if found[-1].unclean:
                    break
    return found


async def _begun(
    stack: AsyncExitStack, voice: Voice, apps: tuple[Path, ...], state: Path | None, progress: Progress
) -> Stage:
    """Again where a node takes longer than it may, on a machine that is busy. Raises the last one's ForgeFault."""
    for tries_left in range(BEGIN_TRIES - 1, -1, -1):
        try:
            return await stack.enter_async_context(staged(voice=voice, apps=apps, state=state, progress=progress))
        except ForgeFault as fault:
            if not tries_left:
                raise
            progress(f"the cluster did not come up: {fault}")
    raise AssertionError("unreachable")


def in_words(outcome: Outcome) -> str:
    marks = " ".join(f"{level} {'yes' if right else 'NO'}" for level, right in outcome.levels.items())
    alarm = "FALSE ALARM" if outcome.false_alarm else "no alarm" if outcome.control else ""
    rest = [
        *outcome.troubles,
        *(f"FORBIDDEN {each}" for each in outcome.forbidden),
        *([f"not played: {outcome.unplayed}"] if outcome.unplayed else []),
        *([f"not clean: {outcome.unclean}"] if outcome.unclean else []),
    ]
    words = " ".join(each for each in (f"{outcome.scenario}:", marks, alarm) if each)
    return f"{words} ({outcome.took_s:.0f} s){''.join(f'{chr(10)}    {each}' for each in rest)}"


def sampled(scenarios: Sequence[Scenario], seed: int, *, budget_s: float) -> list[Scenario]:
    """By the seed: one with a fault, and as many without as fit into the rest of the budget. The fault is the last, so
    that nobody waits until all is as usual again; those that need a cluster's past are left out."""
    rng = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    short = [each for each in rng.sample(scenarios, len(scenarios)) if not each.document.usual]
    last = next((each for each in short if each.document.faults and each.document.seconds <= budget_s), None)
    left_s = budget_s - (last.document.seconds if last is not None else 0.0)
    found: list[Scenario] = []
    for each in short:
        if not each.document.faults and each.steps is None and each.document.seconds <= left_s:
            found.append(each)
            left_s -= each.document.seconds
    return [*found, *([last] if last is not None else [])]
