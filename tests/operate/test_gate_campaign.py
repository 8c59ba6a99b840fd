"""A sample of the gate campaign: the leader dies at two points that the seed chooses."""

from __future__ import annotations

import os

import pytest

from evals.gatekeeping.cycle import POINTS
from evals.gatekeeping.run import gate_campaign, points_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = int(os.environ.get("AETHER_TEST_SEED", "1"))


async def test_a_leader_that_dies_amid_a_change_loses_nothing_and_nothing_is_done_twice() -> None:
    report = await gate_campaign(seed=SEED, cycles=2)
    assert report.passed, report.failure
    assert report.applied == 2


def test_every_point_has_its_turn() -> None:
    assert sorted(points_of(SEED, len(POINTS))) == sorted(POINTS)
