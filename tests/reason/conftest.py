"""Shared by the tests of what answers in plain words: one cluster for all of them, as each takes seconds to begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from evals.forge.forge import Forge
from evals.scenarios.stage import shop_in
from tests.reason.cluster import Cluster

HERE: Final = Path(__file__).resolve().parent
SHORTENER: Final = HERE.parents[1] / "examples" / "url_shortener"


@pytest.hookimpl(tryfirst=True)  # before what reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the cluster is of one process and begins first, file by file; the other process does the rest."""
    own = [each for each in items if each.path.parent == HERE]
    for each in own:
        each.add_marker(pytest.mark.xdist_group("cluster" if _uses_cluster(each) else each.path.name))
    ordered = iter(sorted(own, key=lambda each: not _uses_cluster(each)))
    items[:] = [next(ordered) if each.path.parent == HERE else each for each in items]


def _uses_cluster(item: pytest.Item) -> bool:
    return "cluster" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """It serves the shortener and the scenarios' shop."""
    shop = shop_in(tmp_path_factory.mktemp("shop"))
    async with Forge(nodes=3, apps=[SHORTENER, shop]) as forge:
        yield Cluster(forge, shop)
