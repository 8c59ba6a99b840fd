"""A rotating sample of the kills on real processes: `./aether campaign workflow --processes` does all of them."""

from __future__ import annotations

import os

import pytest

from evals.workflow.killing import FATES, chosen, kill_at_writes

SEED = int(os.environ.get("AETHER_TEST_SEED", "1"))
POINTS = 2


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_leader_that_is_killed_at_a_write_changes_nothing_but_the_time_it_takes() -> None:
    print(f"seed {SEED}")
    report = await kill_at_writes(seed=SEED, count=POINTS)
    assert report.passed, report.lines()
    assert report.died == POINTS


def test_every_write_is_a_point_in_each_way() -> None:
    assert sorted(chosen(1, 3, 0)) == sorted((at, fate) for at in (1, 2, 3) for fate in FATES)
    assert len(chosen(1, 30, 4)) == len(set(chosen(1, 30, 4))) == 4
