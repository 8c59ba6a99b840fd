"""A sample of the campaign that `./aether campaign store` runs at length: three of its faults, other ones next time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from evals.nemesis.faults import FAULTS
from evals.nemesis.run import campaign

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SHARE: Final = 4  # so many runs with seeds in a row see every fault


async def test_whatever_happens_to_its_processes_the_store_keeps_its_promises(tmp_path: Path) -> None:
    """A failure says which cycle of which fault it was, and where the stores' files and logs are."""
    seed = int(os.environ.get("AETHER_TEST_SEED", "1"))
    faults = FAULTS[seed % SHARE :: SHARE]
    again = f"./aether campaign store --seed {seed} --cycles 1" + "".join(f" --fault {each.name}" for each in faults)
    report = await campaign(faults, seed=seed, cycles=1, directory=tmp_path / "stores", again=again)
    assert report.passed, "\n".join(report.lines())
    assert report.acknowledged > 10 * len(faults), "too little was written to prove anything"
