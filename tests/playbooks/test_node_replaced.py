"""A node stops, its alert starts node-replace, people agree, and it is replaced with its vote, whoever leads."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

import pytest

from evals.replacing.story import KILLS, replacements

SEED: Final = int(os.environ.get("AETHER_TEST_SEED", "0"))
EVERY: Final = 3  # seeds: it takes a minute, and more where the machine does much else
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        SEED % EVERY != 0 and not os.environ.get("AETHER_TEST_ALL"), reason="played with every third seed"
    ),
]


async def test_a_node_that_stops_is_replaced_though_the_leader_dies_at_one_step_of_it(tmp_path: Path) -> None:
    """One of the campaign's rounds by the seed of the run: `aether campaign node-replaced` plays all."""
    kill_at = random.Random(SEED).choice(KILLS)
    heard: list[str] = []
    told = await replacements(
        [kill_at],
        app=Path("examples/url_shortener"),
        state=tmp_path / "forge",
        progress=heard.append,
        hasty=True,
    )
    assert told.passed, [*told.lines(), *heard]
