"""Loads that bring a model to be trained, crowned and taken back, and the histories that they are written into.

A history is written as nodes write and fill it themselves: into `minutes.db` of every node, in its own format.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from controllers.context.history import FILE_NAME
from controllers.context.history_file import HistoryFile
from controllers.context.minute import SliceMinute
from evals.forge.forge import Forge

DAYS: Final = 5  # a quarter is held back, and the newest third of that must have eight hours
DAY_MINUTES: Final = 1_440
PERIOD: Final = 40  # minutes: no day and no hour knows it
DROPS: Final = 120  # the newest minutes, in which calls fail to come now and then: that is the drift
DROPPED: Final = 0.3  # of those minutes
MIB_256: Final = 1 << 28


def unlearnt(rng: random.Random) -> list[float]:
    """Days of a wave that the shipped model does not know, and at their end minutes without a call that nothing
    foretells; requests a minute."""
    count = DAYS * DAY_MINUTES
    wave = [max(0.0, 600.0 + 400.0 * abs(2 * (at % PERIOD) / PERIOD - 1) + rng.gauss(0.0, 10.0)) for at in range(count)]
    drops = [0.0 if rng.random() < DROPPED else load for load in wave[-DROPS:]]
    return wave[:-DROPS] + drops


def calm(rng: random.Random, minutes: int) -> list[float]:
    """A tenth of it and steady: a head that has learnt the wave does clearly worse on it."""
    return [max(0.0, 60.0 + rng.gauss(0.0, 3.0)) for _ in range(minutes)]


def plant(forge: Forge, slice_name: str, last_minute: int, loads: Sequence[float]) -> None:
    """Writes them as the minutes up to that one, into the history of every node."""
    first = last_minute - len(loads) + 1
    past = [
        SliceMinute(slice=slice_name, version="1.0.0", minute=first + at, invocations=load)
        for at, load in enumerate(loads)
    ]
    for node in forge.nodes.values():
        file = HistoryFile(node.data / "history" / FILE_NAME, days=14, bytes_max=MIB_256)
        file.append(past)
        file.close()
