"""The real engine on simulated time, network and disk: whatever goes wrong, nothing acknowledged is ever lost."""

from __future__ import annotations

import time
from typing import Final

import pytest

from evals.simulation.run import simulate

pytestmark = pytest.mark.slow
BUDGET_S: Final = 85.0
RUNS_MIN: Final = 20  # on the slowest machine: fewer would prove nothing


def test_every_promise_holds_whatever_goes_wrong(seed: int) -> None:
    """A failure names its seed; `./aether simulate --seed N --trace` shows that run again."""
    ends_s = time.monotonic() + BUDGET_S
    runs = 0
    while runs < RUNS_MIN or time.monotonic() < ends_s:
        outcome = simulate(seed * 1_000 + runs)
        assert not outcome.violation, f"./aether simulate --seed {outcome.seed} --trace: {outcome.violation}"
        assert outcome.acknowledged, f"seed {outcome.seed}: nothing was written, so it proves nothing"
        runs += 1


def test_one_seed_is_one_run(seed: int) -> None:
    """Else a violation could not be looked at again."""
    assert simulate(seed).trace == simulate(seed).trace
