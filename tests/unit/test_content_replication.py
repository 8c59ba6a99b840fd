"""Content over several nodes: three copies, fetched when missing, made anew when lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from runtime.consensus.memory import MemoryStore
from runtime.content.disk import DiskContent
from runtime.content.errors import ContentFault, ContentNotFound
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId, Sha256
from runtime.state import keys

pytestmark = pytest.mark.anyio

BODY = b"aether" * 5000
NAME = Sha256(hashlib.sha256(BODY).hexdigest())


class Unreachable(ContentFault):
    code = "unreachable"


class Nodes:
    """Several nodes in one process; those in `down` answer nobody."""

    def __init__(self, root: Path, count: int) -> None:
        self.store = MemoryStore()
        self.down: set[NodeId] = set()
        self.disks: dict[NodeId, DiskContent] = {}
        self.contents: dict[NodeId, ReplicatedContent] = {}
        self.lying: set[NodeId] = set()
        self.reads = 0
        for number in range(1, count + 1):
            node = NodeId(f"n{number}")
            self.disks[node] = DiskContent(root / node)
            self.disks[node].open()
            self.contents[node] = ReplicatedContent(node=node, disk=self.disks[node], store=self.store, peers=self)

    async def live(self) -> None:
        from runtime.consensus.store import Delete, Put

        for node in self.disks:
            change = Delete(key=keys.node_live(node)) if node in self.down else Put(key=keys.node_live(node), value=b"")
            await self.store.txn([], [change])

    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        if node in self.down:
            raise Unreachable(f"{node} is down")
        self.reads += 1
        async for piece in self.disks[node].read(sha256):
            yield piece[:-1] + b"!" if node in self.lying else piece

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        if node in self.down:
            raise Unreachable(f"{node} is down")
        await self.contents[node].fetch(sha256, source=source)

    def having(self) -> set[NodeId]:
        return {node for node, disk in self.disks.items() if disk.has(NAME)}

    def recorded(self) -> set[str]:
        return {key.split("/")[2] for key in self.store.items if key.startswith(keys.CONTENT)}


async def body() -> AsyncIterator[bytes]:
    yield BODY


async def made(tmp_path: Path, count: int) -> Nodes:
    nodes = Nodes(tmp_path, count)
    await nodes.live()
    return nodes


@pytest.mark.parametrize(("count", "copies"), [(1, 1), (2, 2), (5, 3)])
async def test_what_is_put_on_one_node_is_kept_by_three_or_all(tmp_path: Path, count: int, copies: int) -> None:
    nodes = await made(tmp_path, count)
    await nodes.contents[NodeId("n1")].put(body())
    assert len(nodes.having()) == copies
    assert nodes.recorded() == nodes.having()
    assert NodeId("n1") in nodes.having()


async def test_a_node_that_lacks_the_bytes_fetches_and_verifies_them(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 5)
    await nodes.contents[NodeId("n1")].put(body())
    lacking = next(iter(nodes.disks.keys() - nodes.having()))
    assert (await nodes.contents[lacking].get(NAME)).read_bytes() == BODY


async def test_bytes_that_several_ask_for_at_once_are_fetched_once(tmp_path: Path) -> None:
    """A node that starts ten instances of one artifact would otherwise read 256 MiB ten times."""
    nodes = await made(tmp_path, 5)
    await nodes.contents[NodeId("n1")].put(body())
    lacking = next(iter(nodes.disks.keys() - nodes.having()))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(nodes.contents[lacking].get, NAME)
            await anyio.lowlevel.checkpoint()
    assert nodes.reads == 3, "the two other keepers, and the one that lacked it"


async def test_a_peer_that_gives_other_bytes_is_passed_over(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 5)
    await nodes.contents[NodeId("n1")].put(body())
    nodes.lying = set(sorted(nodes.having())[:2])
    lacking = next(iter(nodes.disks.keys() - nodes.having()))
    assert (await nodes.contents[lacking].get(NAME)).read_bytes() == BODY


async def test_a_damaged_copy_is_replaced_from_a_peer(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 3)
    first = NodeId("n1")
    await nodes.contents[first].put(body())
    nodes.disks[first].path(NAME).chmod(0o600)
    nodes.disks[first].path(NAME).write_bytes(b"damaged")
    assert (await nodes.contents[first].get(NAME)).read_bytes() == BODY


async def test_a_lost_copy_is_made_anew_by_exactly_as_many_nodes_as_are_missing(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 5)
    await nodes.contents[NodeId("n1")].put(body())
    await nodes.contents[NodeId("n1")].pin(NAME, "artifact a==1")
    nodes.down = {min(nodes.having())}
    await nodes.live()
    for node in nodes.disks.keys() - nodes.down:
        await nodes.contents[node].repair()
    assert len(nodes.having() - nodes.down) == 3


async def test_bytes_that_nobody_alive_has_are_said_to_be_missing(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 2)
    await nodes.contents[NodeId("n1")].put(body())
    nodes.disks[NodeId("n2")].delete(NAME)
    nodes.down = {NodeId("n1")}
    with pytest.raises(ContentNotFound, match="n1: n1 is down"):
        await nodes.contents[NodeId("n2")].get(NAME)


async def test_what_nobody_pins_is_collected_once_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = await made(tmp_path, 1)
    content = nodes.contents[NodeId("n1")]
    await content.put(body())
    await content.pin(NAME, "artifact a==1")
    monkeypatch.setattr("runtime.content.replicated.UNPINNED_AGE_S", -1)
    assert await content.collect() == 0
    await content.unpin(NAME, "artifact a==1")
    monkeypatch.setattr("runtime.content.replicated.UNPINNED_AGE_S", 60)
    assert await content.collect() == 0
    monkeypatch.setattr("runtime.content.replicated.UNPINNED_AGE_S", -1)
    assert await content.collect() == len(BODY)
    assert nodes.recorded() == set()


async def test_repair_makes_the_record_say_what_the_disk_says(tmp_path: Path) -> None:
    nodes = await made(tmp_path, 1)
    await nodes.contents[NodeId("n1")].put(body())
    nodes.disks[NodeId("n1")].delete(NAME)
    await nodes.contents[NodeId("n1")].repair()
    assert nodes.recorded() == set()
