"""Snapshots of the store as content: whole or failed, kept on nodes, and so many of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.store import Put, Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.content.store_backups import KEPT, StoreBackups
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.names import NodeId, Sha256
from runtime.operations.dispatch import Applied, Refused, Submission
from runtime.operations.operation import Convergence
from runtime.operations.state import PlanState
from runtime.operations.store import SnapshotRequest, taken
from runtime.state import keys
from runtime.state.values import StoreBackup
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio

PIECES = (b"a" * 1_000, b"b" * 500)


class NoPeers:
    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        raise AssertionError("there is nobody else")
        yield b""

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        raise AssertionError("there is nobody else")


class Backups:
    def __init__(self, root: Path) -> None:
        self.hand = GateOnHand()
        disk = DiskContent(root / "content")
        disk.open()
        self.content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.socket = root / "store"
        self.total = sum(len(piece) for piece in PIECES)
        self.backups = StoreBackups(
            store=self.hand.store,
            state=self.hand.state,  # type: ignore[arg-type]  # reads alike
            content=self.content,
            dial=lambda: connect_unix(self.socket),
            clock=self.hand.clock,
        )

    async def send(self, _call: IncomingCall) -> AsyncIterator[bytes]:
        yield w.encode(ow.SnapshotBegins("n1", self.total))
        for piece in PIECES:
            yield piece

    async def want(self) -> object:
        request = Submission(operation="store.snapshot", request={}, actor=person("anna"))
        return await self.hand.gate.submit(request)

    async def look(self, fence: Revision | None = None) -> list[StoreBackup]:
        await self.backups.look(fence or self.hand.fence() or Revision(0))
        return [msgspec.json.decode(item.value, type=StoreBackup) for item in self.hand.state.items(keys.STORE_BACKUPS)]

    def pins(self) -> int:
        return len(self.hand.state.items(keys.CONTENT_PINS))


@asynccontextmanager
async def backups_in(root: Path) -> AsyncIterator[Backups]:
    found = Backups(root)
    await found.hand.people()
    listener = await serve_unix(found.socket, Handlers(streams={ow.SNAPSHOT: found.send}))
    try:
        yield found
    finally:
        await listener.close()


def waits(hand: GateOnHand) -> Convergence:
    return taken(PlanState(hand.state), SnapshotRequest())


async def test_a_wanted_snapshot_is_kept_whole_and_pinned(tmp_path: Path) -> None:
    async with backups_in(tmp_path) as at:
        applied = await at.want()
        assert isinstance(applied, Applied)
        assert applied.result == {"number": 1}
        assert not waits(at.hand).done
        (kept,) = await at.look()
        assert (kept.state, kept.size_bytes) == ("kept", 1_500)
        assert await anyio.Path(await at.content.get(Sha256(kept.sha256))).read_bytes() == b"".join(PIECES)
        assert (at.pins(), waits(at.hand).done) == (1, True)
        assert kept.revision > 0


async def test_one_that_ended_early_is_no_snapshot(tmp_path: Path) -> None:
    """Half a snapshot that looks like one is found out on the day it is needed."""
    async with backups_in(tmp_path) as at:
        at.total += 1
        await at.want()
        (failed,) = await at.look()
        assert failed.state == "failed"
        assert "1500 of 1501" in failed.reason
        assert at.pins() == 0
        assert isinstance(await at.want(), Applied)  # the next one may be tried


async def test_a_store_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    at = Backups(tmp_path)
    await at.hand.people()
    await at.want()
    (failed,) = await at.look()
    assert failed.state == "failed"
    assert failed.reason


async def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    at = Backups(tmp_path)
    await at.hand.people()
    await at.want()
    refused = await at.want()
    assert isinstance(refused, Refused)
    assert refused.code == "snapshot_in_progress"


async def test_the_oldest_go_with_their_pins(tmp_path: Path) -> None:
    async with backups_in(tmp_path) as at:
        for number in range(1, KEPT + 3):
            backup = StoreBackup(number=number, state="kept", sha256=f"{number:064}")
            await at.hand.put(keys.store_backup(number), backup)
            pin = keys.content_pin(Sha256(backup.sha256), f"store-backup%20{number}")
            await at.hand.store.txn((), [Put(key=pin, value=b"")])
        assert [each.number for each in await at.look()] == list(range(3, KEPT + 3))
        assert at.pins() == KEPT


async def test_who_does_not_lead_any_more_keeps_nothing(tmp_path: Path) -> None:
    async with backups_in(tmp_path) as at:
        await at.want()
        (still,) = await at.look(Revision((at.hand.fence() or 0) + 1))
        assert (still.state, at.pins()) == ("wanted", 0)
