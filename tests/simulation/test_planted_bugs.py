"""What the simulation is worth: bugs are planted, one for each protection, and it must find them."""

from __future__ import annotations

import pytest

from evals.planting import UnknownPlant, planted
from evals.simulation.campaign import seeds_needed
from evals.simulation.planted import PLANTS
from evals.simulation.run import simulate

SEARCHED = {  # bug → the fault to look for it with, as found within ten seeds; with all faults: docs/reliability.md
    "acknowledge-everything": "",
    "any-acknowledgement": "answers late over elections",
    "apply-again": "",
    "changes-at-once": "",
    "commit-any-term": "the lead goes to and fro",
    "commit-without-majority": "",
    "count-time-before": "",
    "count-unsynced": "majority changes at a power loss",
    "count-what-was-found": "majority changes at a power loss after a kill",
    "cut-without-conflict": "",
    "keep-own-snapshot": "own snapshot late",
    "no-checksum": "",
    "no-pre-vote": "",
    "promise-before-sync": "majority changes at a power loss",
    "publish-unsynced": "",
    "snapshot-without-leases": "",
    "vote-for-anyone": "",
    "vote-twice": "",
    "watch-with-gaps": "",
}
SEEDS_MAX = 60


@pytest.mark.slow
def test_a_planted_bug_is_found(seed: int) -> None:
    """Another one with each seed."""
    plant = sorted(SEARCHED)[seed % len(SEARCHED)]
    assert seeds_needed(plant, seeds_max=SEEDS_MAX, fault=SEARCHED[plant]).seeds, f"{plant} was not found"


def test_a_bug_is_gone_after_its_run() -> None:
    before = [vars(plant.where)[plant.name] for plant in PLANTS.values()]
    for name in PLANTS:
        with planted(PLANTS, name):
            pass
    assert [vars(plant.where)[plant.name] for plant in PLANTS.values()] == before


def test_an_unknown_bug_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownPlant, match="cut-without-conflict"):
        simulate(1, plant="none")
