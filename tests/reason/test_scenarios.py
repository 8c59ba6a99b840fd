"""A rotating sample of the scenarios, on the group's cluster: what must never come of any of them."""

from __future__ import annotations

import os
from typing import Final

import pytest

from evals.scenarios.document import read_scenarios
from evals.scenarios.playing import Playing
from evals.scenarios.run import in_words, sampled
from evals.scenarios.stage import loaded
from tests.reason.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SEED: Final = int(os.environ.get("AETHER_TEST_SEED", "1"))
SAMPLE_S: Final = 12.0


async def test_no_scenario_of_a_sample_raises_a_false_alarm_or_does_what_is_forbidden(cluster: Cluster) -> None:
    """How often causes are found is promised of all together: ./aether campaign ops. The seed repeats a failure."""
    chosen = sampled(read_scenarios(), SEED, budget_s=SAMPLE_S)
    assert any(each.document.faults for each in chosen)
    async with loaded(cluster.forge, cluster.shop, hurried=True) as stage:
        for each in chosen:
            outcome = await Playing(stage, each).play(1, give_back=each is not chosen[-1])
            said = f"seed {SEED}: {in_words(outcome)}"
            assert not outcome.unplayed, said
            assert not outcome.false_alarm, said
            assert not outcome.forbidden, said
            assert outcome.levels.get("policy", True), said
        await stage.set_back()  # or an incident that is left open has the next tests' changes wait for more people
