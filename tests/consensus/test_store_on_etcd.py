"""A store process whose settings choose etcd."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import NotOnThisEngine
from runtime.consensus.store import Put, led_by
from tests.consensus.store_group import StoreGroup
from tests.consensus.test_store_conformance import etcd_engine

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.usefixtures("one_loop")]


async def test_a_store_process_serves_what_etcd_holds_and_refuses_what_etcd_does_itself(
    etcd: str, tmp_path: Path
) -> None:
    group = StoreGroup(tmp_path / "nodes", cluster=uuid4().hex, voters=("n1",))
    (group.layout("n1").data / "config.toml").write_text(settings_for(etcd))
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


def settings_for(endpoint: str) -> str:
    return f'store_engine = "etcd"\nstore_etcd_endpoints = ["{endpoint}"]\n'


async def test_another_process_of_the_same_cluster_sees_it_all_and_leads_when_the_first_has_gone(etcd: str) -> None:
    cluster = uuid4().hex
    async with etcd_engine(etcd, cluster, "n2") as second, etcd_engine(etcd, cluster, "n1") as first:
        assert first.leader() == second.leader() == "n2"
        await EngineStore(first).txn([], [Put(key="a", value=b"1")])
        found = (await EngineStore(second).get("a")).item
        assert found is not None
        fence = first.machine.keys.get("_leader")
        assert fence is not None
    async with etcd_engine(etcd, cluster, "n3") as third:
        assert third.leader() == "n3"
        assert not (await EngineStore(third).txn([led_by(fence.mod_revision)], [Put(key="a", value=b"2")])).succeeded


async def test_changes_of_others_in_a_shared_etcd_hold_nobody_up(etcd: str) -> None:
    async with etcd_engine(etcd, uuid4().hex) as ours, etcd_engine(etcd, uuid4().hex) as theirs:
        await EngineStore(theirs).txn([], [Put(key="a", value=b"theirs")])
        found = await EngineStore(ours).get("a")
        assert found.item is None
        assert found.revision >= theirs.machine.revision
