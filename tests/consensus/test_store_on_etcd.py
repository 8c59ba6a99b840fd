"""A store process whose settings choose etcd."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.consensus.errors import NotOnThisEngine
from runtime.consensus.store import Put
from tests.consensus.etcd_server import etcd_server
from tests.consensus.store_group import StoreGroup

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_store_process_serves_what_etcd_holds_and_refuses_what_etcd_does_itself(tmp_path: Path) -> None:
    group = StoreGroup(tmp_path / "nodes", voters=("n1",))
    with etcd_server(tmp_path) as endpoint:
        settings = f'store_engine = "etcd"\nstore_etcd_endpoints = ["{endpoint}"]\n'
        (group.layout("n1").data / "config.toml").write_text(settings)
        try:
            group.start("n1")
            client = group.client("n1")
            assert await group.leader() == "n1"
            assert (await client.txn([], [Put(key="a", value=b"1")])).succeeded
            assert await client.members() == group.addresses
            with pytest.raises(NotOnThisEngine):
                await client.promote_member("n1")
            group.kill("n1")
            group.start("n1")
            found = (await client.get("a")).item
            assert found is not None
            assert found.value == b"1"
        finally:
            await group.close()
