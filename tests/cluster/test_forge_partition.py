"""Cut links between real nodes: the majority goes on, the minority says what it cannot do, and all heals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evals.forge.chaos import Chaos
from evals.forge.cluster_api import ClusterApi
from evals.forge.errors import ApiRefused
from evals.forge.executions import executed_twice, executions_project
from evals.forge.forge import Forge

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executions")


@pytest.fixture(scope="module")
async def forge(log: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    project = executions_project(tmp_path_factory.mktemp("project"), log)
    async with Forge(nodes=3, apps=[project], partitions=True) as forge:
        yield forge


async def statuses(forge: Forge, node: str, name: str) -> set[int]:
    client = forge.http(node)
    return {(await client.request("POST", f"/passed/{name}-{number}")).status for number in range(10)}


async def test_a_leader_that_is_cut_off_is_replaced_and_changes_nothing(forge: Forge, log: Path) -> None:
    """Two leaders at once would be two truths."""
    chaos, leader = Chaos(forge), await forge.until_leader()
    others = [name for name in forge.names if name != leader]
    alone = ClusterApi(lambda: {leader: forge.nodes[leader].addresses.api}, forge.admin_key)
    await chaos.do(f"partition {leader}")
    try:
        majority = ClusterApi(lambda: {name: forge.nodes[name].addresses.api for name in others}, forge.admin_key)

        async def another_leads() -> bool:
            return await majority.leader() in others

        async def steps_down() -> bool:
            return not await alone.leader()

        async def is_down() -> bool:
            return any(row.node == leader and not row.live for row in await majority.nodes())

        await forge.until("another one leads", another_leads, timeout_s=20.0)
        await forge.until("the old one has stepped down", steps_down, timeout_s=20.0)
        with pytest.raises(ApiRefused) as refused:
            await alone.scale("recorder", 3)
        assert refused.value.status == 503
        await forge.until("the majority sees it down", is_down, timeout_s=20.0)
        for name in others:
            assert await statuses(forge, name, f"cut-{name}") == {200}
    finally:
        await chaos.do("heal")
    await forge.until_well()
    for name in forge.names:
        assert await statuses(forge, name, f"healed-{name}") == {200}
    assert executed_twice(log) == {}
