"""How slices come by their services: factories, the limits of system parts, and the guide's own example."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from agent_api.assemble.services import SERVICES
from agent_api.assemble.system_slices import SYSTEM_SLICES, gateway_services
from infra.cache import Cache
from infra.database import Database, DatabaseUnavailable
from infra.database.memory import MemoryDatabase
from runtime.cluster.identity import Listen, NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.hosting.errors import DependencyUnavailable, InstanceFailed
from runtime.names import NodeId
from runtime.sdk import slice_
from runtime.sdk.bundle import read_entry
from runtime.sdk.services import service_name
from runtime.sdk.testing import running
from tests.unit.service_nodes import ServiceNodes

pytestmark = pytest.mark.anyio
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "infra-services.md"


def test_every_port_has_its_factory() -> None:
    assert {service_name(port) for port in (Cache, Database)} == SERVICES.keys()


def test_system_slices_are_named_as_the_proxies_call_them() -> None:
    contracts = [read_entry(entry).contract for entry in SYSTEM_SLICES]
    assert [(c.name, c.version) for c in contracts] == [("aether-cache", "1.0.0"), ("aether-database", "1.0.0")]


async def test_an_inline_slice_cannot_ask_for_the_store_itself(tmp_path: Path) -> None:
    """It would read and change what belongs to the cluster."""
    identity = NodeIdentity(
        node=NodeId("n1"), cluster_id="c", role="core", listen=Listen(http=0, api=0, peer=0, control=0)
    )
    offered = gateway_services(NodeLayout(tmp_path), identity, nodes=lambda: ("n1",))
    for name in ("store", "cache-cluster"):
        with pytest.raises(InstanceFailed):
            offered[name](ServiceNodes().request("n1", "shop"))


@slice_(name="shop", version="1.0.0")
class Shop:
    """Does not say what it does when the database is away."""

    def __init__(self, database: Database) -> None:
        self._names = database.collection("names", str)

    async def name(self, key: str) -> str:
        found = await self._names.get(key)
        return found.value if found is not None else ""


async def test_a_database_that_is_away_makes_the_slice_unavailable_and_not_broken() -> None:
    """503 and a retry for the client, instead of 500 and an alarm."""
    database = MemoryDatabase()
    async with running(Shop, database=database) as shop:
        assert await shop.name("k") == ""
        database.store.engine.quorum = False
        with pytest.raises(DependencyUnavailable):
            await shop.name("k")
    assert DatabaseUnavailable.retryable


async def test_the_guides_example_passes_its_own_test() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    module = types.ModuleType("infra_guide")
    sys.modules["infra_guide"] = module
    try:
        code = compile("from __future__ import annotations\n" + "\n".join(blocks), "infra_guide", "exec")
        exec(code, module.__dict__)
        await module.test_an_order_is_found_by_its_customer()
    finally:
        del sys.modules["infra_guide"]
