"""`aether store` against running store processes, as an operator uses it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.consensus.backup import load
from runtime.consensus.errors import Compacted
from runtime.consensus.raft.disk import RealDisk
from runtime.consensus.raft.snapshot import NAME, OWN, SnapshotWriter
from runtime.consensus.store import LEADER_KEY, Put, Revision
from tests.consensus.store_group import NODES, StoreGroup, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def aether(*words: object, ok: int = 0) -> str:
    command = [sys.executable, "-P", "-m", "agent_api.cli.main", *map(str, words)]
    done = await anyio.run_process(command, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == ok, said
    assert "Traceback" not in said
    return done.stdout.decode() if ok == 0 else said


async def told(group: StoreGroup, *words: object, node: str = "n1", ok: int = 0) -> dict[str, object]:
    said = await aether("store", *words, "--data", group.layout(node).data, "--json", ok=ok)
    answer: dict[str, object] = json.loads(said)
    return answer


async def fill(group: StoreGroup, count: int, prefix: str = "k/", node: str = "n1") -> None:
    for at in range(0, count, 100):
        puts = [Put(key=f"{prefix}{number:06}", value=b"v" * 200) for number in range(at, min(count, at + 100))]
        await group.client(node).txn([], puts)


async def test_status_tells_of_every_member_also_of_those_that_do_not_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        await fill(group, 100)
        answer = await told(group, "status")
        assert answer["well"] is True
        assert answer["leader"] == await group.leader()
        said = await aether("store", "status", "--data", tmp_path)
        assert "3 voters of which 2 decide" in said
        assert [line.split()[0] for line in said.splitlines()[3:6]] == list(NODES)
        gone = await group.follower()
        group.kill(gone)
        other = next(node for node in NODES if node != gone)
        assert (await told(group, "status", node=other, ok=1))["well"] is False
        assert f"{gone} does not answer" in await aether("store", "status", "--data", group.layout(other).data, ok=1)
        # the tool does not need this node's own store: another core node answers
        assert "silent" in await aether("store", "status", "--data", group.layout(gone).data, ok=1)


async def test_a_new_member_learns_first_and_gets_its_vote_when_it_is_told_to(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        await fill(group, 300)
        group.make("n4")
        assert "no vote" not in await aether(
            "store", "members", "add", "n4", group.addresses["n4"], "--data", group.layout("n1").data
        )
        said = await aether("store", "members", "promote", "n4", "--data", group.layout("n1").data, ok=1)
        assert "n4 is not connected; start it first" in said
        group.start("n4")
        await group.until(lambda: group.reads("n4", "k/000299"))
        assert (await group.client("n1").status()).learners == ("n4",)
        await aether("store", "members", "promote", "n4", "--data", group.layout("n1").data)
        assert (await group.client("n1").status()).members == (*NODES, "n4")
        assert len((await group.client("n4").range("k/")).items) == 300
        leader = await group.leader()
        await aether("store", "members", "remove", leader, "--data", group.layout("n1").data)
        assert leader not in (await group.client("n4").status()).members
        await fill(group, 10, "after/", node="n4")


async def test_a_removal_that_would_leave_no_majority_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        leader = await group.leader()
        down, other = (node for node in NODES if node != leader)
        group.kill(down)
        said = await aether("store", "members", "remove", other, "--data", group.layout(leader).data, ok=1)
        assert f"there would be no majority, for {down} does not answer" in said
        await aether("store", "members", "remove", down, "--data", group.layout(leader).data)
        assert len((await group.client(leader).status()).members) == 2


async def test_a_store_runs_one_thread_beside_its_loop(group: StoreGroup) -> None:
    """The log's writer. Another would take the interpreter from the loop when the leader has to be heard. libuv has
    threads that look up names and run no Python."""
    await fill(group, 20)
    await told(group, "check")
    for node in NODES:
        tasks = Path(f"/proc/{group.processes[node].pid}/task").iterdir()
        names = [(each / "comm").read_text().strip() for each in tasks]
        assert len([name for name in names if name != "libuv-worker"]) == 2, names


async def test_a_member_needs_an_address_that_can_be_dialled(group: StoreGroup) -> None:
    leader = await group.leader()
    for address in ("nonsense", "host:port"):
        said = await aether("store", "members", "add", "n6", address, "--data", group.layout(leader).data, ok=1)
        assert "write HOST:PORT" in said
    assert set(await group.client(leader).members()) == set(NODES)


async def test_the_leadership_goes_to_whom_it_is_given(group: StoreGroup) -> None:
    leader = await group.leader()
    heir = next(node for node in NODES if node != leader)
    assert await told(group, "transfer", heir, node=leader) == {"leader": heir}
    assert await group.leader() == heir
    assert "has no vote" in await aether("store", "transfer", "n9", "--data", group.layout("n1").data, ok=1)


async def test_compacting_lets_go_of_history(group: StoreGroup) -> None:
    await fill(group, 300)
    revision = (await told(group, "compact"))["revision"]
    assert isinstance(revision, int)
    with pytest.raises(Compacted):
        await group.client("n1").get("k/000001", at_revision=Revision(revision - 1))


async def test_members_that_write_all_the_time_are_compared_at_one_entry(group: StoreGroup) -> None:
    await fill(group, 3_000)
    done = anyio.Event()

    async def load_it() -> None:
        number = 0
        while not done.is_set():
            number += 1
            await group.client("n2").txn([], [Put(key=f"load/{number % 50}", value=str(number).encode())])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load_it)
        for _ in range(3):
            answer = await told(group, "check")
            assert answer["same"] is True, answer
        done.set()


async def test_check_names_the_member_whose_state_is_another(tmp_path: Path) -> None:
    """Its snapshot was changed on disk in a way that no checksum can tell: it was written anew."""
    async with running(tmp_path) as group:
        await fill(group, 200)
        odd = await group.follower()
        await aether("store", "snapshot", "save", tmp_path / "f", "--node", odd, "--data", group.layout("n1").data)
        group.kill(odd)
        _write_differently(group.layout(odd).store)
        group.start(odd)
        await fill(group, 1, "late/", node=odd)
        answer = await told(group, "check", ok=1)
        assert answer["differing"] == [odd], answer
        assert f"{odd} differs from most" in await aether("store", "check", "--data", group.layout("n1").data, ok=1)


def _write_differently(store: Path) -> None:
    header, machine = load(store / NAME)
    item = machine.keys.get("k/000007")
    assert item is not None
    machine.keys.put(type(item)(**{field: getattr(item, field) for field in item.__struct_fields__} | {"value": b"x"}))
    disk = RealDisk(store)
    writer = SnapshotWriter(disk, header, machine.snapshot())
    while writer.step():
        pass
    disk.rename(OWN, NAME)
    disk.close()


async def test_a_backup_taken_under_load_begins_a_new_cluster_with_everything(tmp_path: Path) -> None:
    """Everything acknowledged before the command is in it; nothing that was seen before goes back."""
    backup = tmp_path / "backup"
    async with running(tmp_path / "old") as group:
        await fill(group, 2_000)
        lease = await group.client("n1").grant(1_000)
        await group.client("n1").txn([], [Put(key="leased", value=b"1", lease=lease)])
        written, under_way = 0, anyio.Event()

        async def load_it() -> None:
            nonlocal written
            while not backup.exists():
                await group.client("n2").txn([], [Put(key=f"load/{written:06}", value=b"v")])
                written += 1
                if written == 20:
                    under_way.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load_it)
            await under_way.wait()
            before = written
            saved = await told(group, "snapshot", "save", backup)
        fence_before = (await group.client("n1").get(LEADER_KEY)).revision
    assert (
        json.loads(await aether("store", "snapshot", "verify", backup, "--json"))
        == saved | {"file": str(backup)} | {key: value for key, value in saved.items() if key == "never"}
        or saved["keys"]
    )
    fresh = StoreGroup(tmp_path / "new", cluster="another")
    directories = [fresh.layout(node).data for node in NODES]
    said = await aether("store", "snapshot", "restore", backup, "--data", *directories, ok=1)
    assert "is a backup of cluster test" in said
    assert "--from-cluster test" in said
    assert not fresh.layout("n1").store.exists()
    await aether("store", "snapshot", "restore", backup, "--data", *directories, "--from-cluster", "test")
    said = await aether("store", "snapshot", "restore", backup, "--data", *directories, ok=1)
    assert "holds a store already" in said
    fresh.start(*NODES)
    try:
        client = fresh.client("n3")
        assert [item.key for item in (await client.range("k/", limit=1000)).items][:2] == ["k/000000", "k/000001"]
        keys = [item async for item in _all(fresh, "k/")]
        assert keys == [f"k/{number:06}" for number in range(2_000)]
        loaded = [item async for item in _all(fresh, "load/")]
        assert loaded[:before] == [f"load/{number:06}" for number in range(before)]
        now = await client.get(LEADER_KEY)
        assert now.item is not None
        assert now.item.mod_revision > fence_before
        with pytest.raises(Compacted):
            async for _ in client.watch("k/", from_revision=Revision(fence_before)):
                pass
        await group.until(lambda: _gone(fresh, "leased"))  # nobody keeps it alive here
        await client.txn([], [Put(key="new", value=b"1")])
        fresh.cluster = fresh.identity("n1").cluster_id
        fresh.make("n4")
        await aether("store", "members", "add", "n4", fresh.addresses["n4"], "--data", fresh.layout("n1").data)
        fresh.start("n4")
        await fresh.until(lambda: fresh.reads("n4", "k/001999"))
        assert (await told(fresh, "check"))["same"] is True
    finally:
        await fresh.close()


async def _gone(group: StoreGroup, key: str) -> bool:
    return (await group.client("n3").get(key)).item is None


async def _all(group: StoreGroup, prefix: str) -> AsyncIterator[str]:
    after = ""
    while True:
        page = await group.client("n3").range(prefix, after=after)
        for item in page.items:
            yield item.key
        if not page.more:
            return
        after = page.items[-1].key


async def test_a_damaged_backup_is_told_from_a_whole_one(group: StoreGroup, tmp_path: Path) -> None:
    await fill(group, 100)
    await told(group, "snapshot", "save", tmp_path / "backup")
    for path, why in ((tmp_path / "backup", "exists already"), (tmp_path / "none" / "backup", "cannot be written")):
        said = await aether("store", "snapshot", "save", path, "--data", group.layout("n1").data, ok=1)
        assert why in said
        assert "Name a file that is not there yet" in said
    data = bytearray((tmp_path / "backup").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed").write_bytes(data)
    assert "is damaged at byte" in await aether("store", "snapshot", "verify", tmp_path / "changed", ok=1)
    (tmp_path / "short").write_bytes(data[: len(data) // 3])
    assert "aether store snapshot save" in await aether("store", "snapshot", "verify", tmp_path / "short", ok=1)
    assert not list(tmp_path.glob(".*unfinished"))
