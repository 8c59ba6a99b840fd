"""Shared by the tests of what answers in plain words: one cluster for all of them, as each takes seconds to begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from evals.forge.forge import Forge
from evals.scenarios.stage import shop_in
from tests.reason.cluster import Cluster

SHORTENER: Final = Path(__file__).resolve().parents[2] / "examples" / "url_shortener"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """It serves the shortener and the scenarios' shop."""
    shop = shop_in(tmp_path_factory.mktemp("shop"))
    async with Forge(nodes=3, apps=[SHORTENER, shop]) as forge:
        yield Cluster(forge, shop)
