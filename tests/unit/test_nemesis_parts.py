"""What a campaign checks with must see what it is there to see; its proxy and its full disks must be what they say."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from evals.nemesis.account import Account
from evals.nemesis.clients import Client
from evals.nemesis.errors import CampaignRefused, PromiseBroken
from evals.nemesis.faults import FAULTS, fault_named
from evals.nemesis.links import CLIENTS, Links
from evals.nemesis.volume import FileLimit, SmallVolume
from evals.nemesis.watchers import Seen, Watcher, check_shown
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Delete, Operation, Put, Revision, WatchBatch, WatchEvent

pytestmark = pytest.mark.anyio
PIECES = 50


async def written(store: MemoryStore) -> Account:
    """The account of clients that wrote for a moment; some of them wait for their leases meanwhile."""
    account = Account("c1/")
    changes = store.engine.changes
    async with anyio.create_task_group() as tasks:
        for name in "abcdefgh":
            tasks.start_soon(Client(name, store, random.Random(name), account).run, anyio.Event())
        while len(account.acknowledged) < 3 or not account.counted:
            await changes.after(changes.count)
        tasks.cancel_scope.cancel()
    return account


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.nemesis.clients.PAUSE_S", 1e-6)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("lie", ["none", "lost", "twice", "half", "counted less", "counted more", "funds"])
async def test_an_account_finds_what_is_missing_and_what_is_there_twice(lie: str) -> None:
    store = MemoryStore()
    account = await written(store)
    key = account.prefix + next(iter(account.acknowledged))
    counter = account.prefix + next(iter(account.counted))
    lies: dict[str, list[Operation]] = {
        "none": [],
        "lost": [Delete(key=key)],
        "twice": [Put(key=key, value=b"again")],
        "half": [Delete(key=key.replace("once/", "twin/once/"))],
        "counted less": [Put(key=counter, value=b"0")],
        "counted more": [Put(key=counter, value=b"1000")],
        "funds": [Put(key="c1/funds/left", value=b"1"), Put(key="c1/funds/right", value=b"1")],
    }
    if lies[lie]:
        await store.txn([], lies[lie])
        with pytest.raises(PromiseBroken):
            await account.check(store)
    else:
        await account.check(store)


class Showing(MemoryStore):
    """Shows its watcher what it is given."""

    def __init__(self, *batches: WatchBatch) -> None:
        super().__init__()
        self.batches = batches

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        for batch in self.batches:
            yield batch
        await anyio.sleep_forever()


def batch(revision: int, *keys: str) -> WatchBatch:
    store = MemoryStore()
    for key in keys:
        store.engine.machine._write([Put(key=key, value=b"")])
    items = [store.engine.machine.keys.get(key) for key in keys]
    events = tuple(WatchEvent(kind="put", item=item) for item in items if item is not None)
    return WatchBatch(revision=Revision(revision), events=events)


@pytest.mark.parametrize(
    "batches",
    [
        (batch(1, "a"), batch(3, "b")),
        (batch(1, "a"), batch(1, "a")),
        (batch(1, "a"), batch(2)),
        (batch(1, "other"),),
    ],
    ids=["left out", "twice", "progress beyond", "differs"],
)
async def test_a_watcher_finds_gaps_repetitions_and_differences(batches: tuple[WatchBatch, ...]) -> None:
    seen: Seen = {1: ("put a 1",)}
    with pytest.raises(PromiseBroken):
        await Watcher("n1", Showing(*batches), seen).run()


async def test_an_acknowledged_write_that_no_watch_showed_is_found() -> None:
    seen: Seen = {}
    watcher = Watcher("n1", Showing(batch(1, "a")), seen)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watcher.run)
        await watcher.until(Revision(1), timeout_s=10)
        tasks.cancel_scope.cancel()
    check_shown(seen, [watcher], {"a": Revision(1)})
    with pytest.raises(PromiseBroken):
        check_shown(seen, [watcher], {"b": Revision(1)})


async def test_a_cut_way_holds_back_and_a_healed_one_delivers_everything_in_order() -> None:
    """The clients of this test are this process, which the proxy knows by name."""
    received, sent = bytearray(), b"".join(number.to_bytes(4) for number in range(PIECES))
    async with anyio.create_task_group() as tasks:
        target = await anyio.create_tcp_listener(local_host="127.0.0.1")

        async def take(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                async for piece in stream:
                    received.extend(piece)
                    await stream.send(b"!")

        async def serve() -> None:
            async with target:
                await target.serve(take)

        tasks.start_soon(serve)
        links = Links(lambda: {}, random.Random(1))
        port = await links.listen(tasks, "n1", target.extra(anyio.abc.SocketAttribute.local_port))
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(sent[:4])
            assert await stream.receive() == b"!"
            links.cut([CLIENTS], ["n1"])
            links.slow([CLIENTS], ["n1"], delay_s=(0.0, 0.002))
            for at in range(4, len(sent), 4):
                await stream.send(sent[at : at + 4])
            with anyio.move_on_after(0.05):
                await stream.receive()
            assert bytes(received) == sent[:4]
            links.heal()
            while len(received) < len(sent):
                await stream.receive()
            assert bytes(received) == sent
        tasks.cancel_scope.cancel()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system; the limit below stands in for it")
def test_a_full_volume_takes_no_byte_until_it_is_freed(tmp_path: Path) -> None:
    try:
        volume = SmallVolume(tmp_path / "disk")
    except CampaignRefused as refused:
        pytest.skip(str(refused))
    file = tmp_path / "disk" / "file"
    try:
        file.write_bytes(bytes(10))
        volume.fill()
        with pytest.raises(OSError, match="No space"), file.open("ab", buffering=0) as more:
            while True:
                more.write(bytes(5_000))
        volume.free()
        file.write_bytes(bytes(10_000))
    finally:
        volume.close(keep=True)
    assert file.stat().st_size == 10_000


GROWS = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for line in sys.stdin:
        try:
            print(file.write(bytes(100)), flush=True)
        except OSError as error:
            print(error.errno, flush=True)
"""


def test_a_limited_process_fails_to_write_until_it_is_freed(tmp_path: Path) -> None:
    volume = FileLimit(lambda: 150)
    child = subprocess.Popen(
        [sys.executable, "-c", GROWS, str(tmp_path / "file")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def write() -> int:
        assert child.stdin is not None
        assert child.stdout is not None
        print(file=child.stdin, flush=True)
        return int(child.stdout.readline())

    volume.started(child.pid)
    assert write() == 100
    volume.fill()
    assert [write(), write()] == [50, 27]
    volume.free()
    assert write() == 100
    child.stdin.close()
    child.stdout.close()
    assert child.wait(10) == 0


def test_every_fault_has_a_name_of_its_own_and_others_are_refused() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault_named(fault.name) is fault for fault in FAULTS)
    with pytest.raises(CampaignRefused, match="there are leader-killed"):
        fault_named("meteor")
