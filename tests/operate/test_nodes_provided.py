"""A Forge provides nodes to its own cluster: one comes when slices no longer fit, though the leader dies meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.forge.errors import ApiRefused
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOURCE = '''
from runtime.sdk import get, idempotent, slice_

@slice_(name="hello", version="1.0.0")
class Hello:
    """Answers."""

    @idempotent
    @get("/hello")
    async def hello(self) -> str:
        return "hello"
'''
OVERRIDE = "break_glass=true&reason=a+test"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def change(forge: Forge, method: str, path: str, **members: object) -> Any:
    return await forge.api.change(method, f"{path}?{OVERRIDE}", json.dumps(members).encode())


async def level(forge: Forge) -> dict[str, Any]:
    found = await forge.api.read("/v1/controller/nodes")
    assert isinstance(found, dict)
    return found


async def states(forge: Forge) -> dict[str, str]:
    return {each["node"]: each["state"] for each in (await level(forge))["nodes"]}


async def test_one_node_comes_though_its_leader_dies_and_goes_when_it_is_not_needed(tmp_path: Path) -> None:
    """Two nodes for one request are paid for twice; a node that stays without need, for ever."""
    wish = SliceWish(name="hello", class_name="Hello", instances=3)
    project = write_project(tmp_path / "hello", name="hello", source=SOURCE, slices=[wish])
    async with Forge(nodes=3, apps=[project], provides=2) as forge:
        quick = {"out_after_s": 1, "in_after_s": 1, "cool_down_out_s": 1, "cool_down_in_s": 1, "headroom": 0}
        await change(forge, "PUT", "/v1/controller/nodes/config", set={**quick, "act": True})
        await change(forge, "PUT", "/v1/controller/config", set={"node_instances_max": 1})
        await forge.api.scale("hello", 4)

        async def asked() -> bool:
            return forge.provided is not None and forge.provided.names == ("auto-1",)

        await forge.until("the Forge is asked for a node", asked, timeout_s=15)
        leader = await forge.until_leader()
        await forge.nodes[leader].kill()
        await forge.until_leader(other_than=leader)
        await forge.start_node(leader)

        async def joined() -> bool:
            return await states(forge) == {"auto-1": "joined"}

        await forge.until("it has joined", joined, timeout_s=30)
        assert list(forge.nodes) == ["n1", "n2", "n3", "auto-1"]
        assert forge.nodes["auto-1"].running
        await forge.api.scale("hello", 3)

        async def gone() -> bool:
            return not await states(forge) and "auto-1" not in {row.node for row in await forge.api.nodes()}

        await forge.until("it has gone", gone, timeout_s=30)
        assert list(forge.nodes) == ["n1", "n2", "n3"]
        made = [each["decision"]["add"] for each in (await level(forge))["decisions"] if each["decision"]["add"]]
        assert made == [1]
        with pytest.raises(ApiRefused, match="no provider made a node n1"):
            await change(forge, "DELETE", "/v1/controller/nodes/n1")
