"""The cluster's settings reach a node: at once where they can, and with its next start where they cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.config.following import ConfigFollower
from runtime.config.settings import KEPT_NAME, NodeSettings, keep, read_settings
from runtime.consensus.cache import StoreCache
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Delete, Put
from runtime.sdk.testing import CollectedLog
from runtime.state import keys
from runtime.telemetry.log import open_log, take_level

pytestmark = pytest.mark.anyio


class Node:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = MemoryStore()
        self.told: list[NodeSettings] = []
        self.heard = anyio.Event()

    def live(self, settings: NodeSettings, of_slices: Mapping[str, NodeSettings]) -> None:
        self.told.append(settings)
        self.of_slices = of_slices
        self.heard.set()

    async def until(self, level: str) -> NodeSettings:
        with anyio.fail_after(5):
            while not self.told or self.told[-1].log_level != level:
                await self.heard.wait()
                self.heard = anyio.Event()
        return self.told[-1]

    async def set(self, scope: str, name: str, value: object) -> None:
        await self.store.txn((), [Put(key=keys.config(scope, name), value=msgspec.json.encode(value))])

    async def unset(self, scope: str, name: str) -> None:
        await self.store.txn((), [Delete(key=keys.config(scope, name))])


@asynccontextmanager
async def following(data: Path) -> AsyncIterator[Node]:
    node = Node(data)
    cache = StoreCache(node.store, (keys.CONFIG,))
    follower = ConfigFollower(
        node="n1", state=cache, data=data, file={"drain_s": 3.0}, live=node.live, log=CollectedLog()
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.run)
        tasks.start_soon(follower.run)
        yield node
        tasks.cancel_scope.cancel()


async def test_a_nodes_own_value_goes_before_the_clusters_and_that_before_its_file(tmp_path: Path) -> None:
    async with following(tmp_path) as node:
        assert (await node.until("info")).drain_s == 3.0
        await node.set("cluster", "drain_s", 7)
        await node.set("cluster", "log_level", "warning")
        await node.until("warning")
        await node.set("node:n1", "log_level", "debug")
        await node.set("node:n2", "log_level", "error")
        assert (await node.until("debug")).drain_s == 7.0
        await node.unset("node:n1", "log_level")
        await node.until("warning")


async def test_a_slices_own_value_goes_before_the_nodes_and_only_where_a_slice_may_have_one(tmp_path: Path) -> None:
    async with following(tmp_path) as node:
        await node.set("node:n1", "request_ms_max", 900)
        await node.set("slice:orders", "slow_request_ms", 40)
        await node.set("slice:orders", "drain_s", 1)
        await node.set("slice:stock", "request_ms_max", 70)
        await node.set("cluster", "log_level", "warning")
        settings = await node.until("warning")
        assert (settings.request_ms_max, settings.slow_request_ms) == (900, 500)
        told = {name: (each.request_ms_max, each.slow_request_ms) for name, each in node.of_slices.items()}
        assert told == {"orders": (900, 40), "stock": (70, 500)}
        assert node.of_slices["orders"].drain_s == 3.0
        await node.unset("slice:stock", "request_ms_max")
        await node.set("cluster", "log_level", "error")
        await node.until("error")
        assert list(node.of_slices) == ["orders"]


async def test_what_the_cluster_says_is_there_at_the_next_start_and_gone_once_it_is_unset(tmp_path: Path) -> None:
    """Processes start before they can reach the store: they read what control kept."""
    async with following(tmp_path) as node:
        await node.set("cluster", "http_body_max_mib", 8)
        await node.set("node:n1", "log_level", "error")
        await node.until("error")
        assert (read_settings(tmp_path).http_body_max_mib, read_settings(tmp_path).log_level) == (8, "error")
        await node.unset("cluster", "http_body_max_mib")
        await node.set("node:n1", "log_level", "debug")
        await node.until("debug")
        assert (read_settings(tmp_path).http_body_max_mib, read_settings(tmp_path).log_level) == (4, "debug")


async def test_a_value_that_this_version_does_not_allow_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """Otherwise one wrong write would keep every node from starting."""
    async with following(tmp_path) as node:
        await node.set("cluster", "http_body_max_mib", 99)
        await node.set("cluster", "store_engine", "etcd")
        await node.set("cluster", "log_level", "debug")
        await node.until("debug")
    assert msgspec.json.decode((tmp_path / KEPT_NAME).read_bytes()) == {"log_level": "debug"}
    keep(tmp_path, {"http_body_max_mib": 99, "of_the_future": 1, "log_level": "error"})
    assert read_settings(tmp_path) == NodeSettings(log_level="error")
    (tmp_path / KEPT_NAME).write_bytes(b"{torn")
    assert read_settings(tmp_path) == NodeSettings()


async def test_a_process_takes_the_level_it_is_told_and_no_other(tmp_path: Path) -> None:
    log = open_log(tmp_path, "worker")
    for level, event in ((b"", "one"), (b"loud", "two"), (b"debug", "three"), (b"error", "four")):
        take_level(log, level)
        log.debug(event)
    log.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [event for event in (b"one", b"two", b"three", b"four") if event in written] == [b"three"]
