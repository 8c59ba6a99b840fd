"""What a store must not start from, as a user meets it: one sentence, the remedy, and nothing of the state touched."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import time
from pathlib import Path

import pytest

from runtime.cluster.identity import read_identity
from runtime.consensus.backup import begin_from
from runtime.consensus.machine import Machine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.store import Put
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node
from tests.consensus.store_group import StoreGroup, refusal, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
AS_FILES_SAY = (  # root may write everywhere unless it gives that up
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all") if os.geteuid() == 0 else ()
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> StoreGroup:
    """A group whose one member has a log with something in it, made once."""
    group = StoreGroup(tmp_path_factory.mktemp("template"), voters=("n1",))

    async def fill() -> None:
        group.start("n1")
        await group.client("n1").txn([], [Put(key="k", value=b"kept")])
        await group.close()

    asyncio.run(fill())
    group.processes.clear()
    group.clients.clear()
    return group


@pytest.fixture
def stopped(template: StoreGroup, tmp_path: Path) -> StoreGroup:
    """A copy of it to spoil."""
    shutil.copytree(template.base, tmp_path / "group", ignore=shutil.ignore_patterns("run", "logs"))
    group = copy.copy(template)
    group.base, group.processes, group.clients = tmp_path / "group", {}, {}
    return group


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def test_a_voter_that_lost_its_disk_does_not_vote_again_under_its_id(tmp_path: Path) -> None:
    """With an empty log it would elect a leader that lacks what it had acknowledged."""
    async with running(tmp_path) as group:
        await group.client("n1").txn([], [Put(key="k", value=b"1")])
        group.kill("n3")
        shutil.rmtree(group.layout("n3").store)
        said = refusal(group.layout("n3").data)
        assert "it is gone" in said
        assert "aether store members remove" in said
        assert (await group.client("n1").get("k")).item is not None


async def test_a_log_taken_away_and_its_snapshot_kept_is_a_lost_log_too(stopped: StoreGroup) -> None:
    layout = stopped.layout("n1")
    for path in layout.store.glob("*.wal"):
        path.unlink()
    (layout.store / "snapshot").write_bytes(b"")
    assert "it is gone" in refusal(layout.data)


async def test_a_first_start_that_was_cut_short_starts_again(tmp_path: Path) -> None:
    """Before its log was on disk a member cannot have promised anything."""
    group = StoreGroup(tmp_path, voters=("n1",))
    layout = group.layout("n1")
    layout.store.mkdir(mode=0o700)
    (layout.store / "0000000000000001.wal").write_bytes(b"\x00" * 20)
    group.start("n1")
    assert (await group.client("n1").txn([], [Put(key="k", value=b"1")])).succeeded
    assert read_identity(layout.identity).store_begun
    await group.close()


async def test_a_log_with_a_hole_is_refused_and_left_as_it_is(stopped: StoreGroup) -> None:
    layout = stopped.layout("n1")
    path = next(layout.store.glob("*.wal"))
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    before = files_of(layout.store)
    said = refusal(layout.data)
    assert "is damaged at byte" in said
    assert "join under a new id" in said
    assert files_of(layout.store) == before
    assert stopped.noted("n1", "store_refused")


async def test_the_log_of_another_cluster_is_refused(stopped: StoreGroup, tmp_path: Path) -> None:
    other = StoreGroup(tmp_path / "other", cluster="elsewhere", voters=("n1",))
    shutil.copytree(stopped.layout("n1").store, other.layout("n1").store)
    assert "is the log of n1 in cluster test" in refusal(other.layout("n1").data)


async def test_a_snapshot_of_another_cluster_is_refused(stopped: StoreGroup, tmp_path: Path) -> None:
    """Copied into place by hand; `aether store snapshot restore` is the way that asks first."""
    foreign = tmp_path / "foreign"
    begin_from(foreign, Machine(), cluster="elsewhere", members={"n1": Peer("127.0.0.1:1")})
    shutil.copy(foreign / "snapshot", stopped.layout("n1").store / "snapshot")
    said = refusal(stopped.layout("n1").data)
    assert "the snapshot is of cluster elsewhere, not of test" in said
    assert "aether store snapshot restore" in said


async def test_what_a_crash_left_half_written_beside_the_snapshot_goes(stopped: StoreGroup) -> None:
    layout = stopped.layout("n1")
    for name in ("snapshot.own", "snapshot.installing"):
        (layout.store / name).write_bytes(b"AETHERS1half")
    stopped.start("n1")
    assert (await stopped.client("n1").get("k")).item is not None
    assert not list(layout.store.glob("snapshot.*"))
    await stopped.close()


async def test_a_half_written_snapshot_is_refused(stopped: StoreGroup) -> None:
    layout = stopped.layout("n1")
    (layout.store / "snapshot").write_bytes(b"AETHERS1\x00\x00\x01")
    assert "the snapshot is cut short" in refusal(layout.data)


async def test_a_store_directory_that_others_may_enter_is_refused(stopped: StoreGroup) -> None:
    store = stopped.layout("n1").store
    store.chmod(0o755)
    assert f"chmod 700 {store}" in refusal(stopped.layout("n1").data)


async def test_a_store_directory_that_cannot_be_written_is_refused(stopped: StoreGroup) -> None:
    store = stopped.layout("n1").store
    store.chmod(0o500)
    try:
        assert "cannot be written by the store" in refusal(stopped.layout("n1").data, before=AS_FILES_SAY)
    finally:
        store.chmod(0o700)


async def test_a_first_start_that_cannot_note_that_it_began_says_so_and_can_be_made_again(tmp_path: Path) -> None:
    """Else its log might be lost one day, and it would vote as if it had never voted."""
    group = StoreGroup(tmp_path, voters=("n1",))
    layout = group.layout("n1")
    for directory in (layout.store, layout.logs, layout.run):
        directory.mkdir(mode=0o700)
    layout.data.chmod(0o500)
    try:
        said = refusal(layout.data, before=AS_FILES_SAY)
    finally:
        layout.data.chmod(0o700)
    assert "node.json cannot be written: Permission denied" in said
    assert "chmod u+rwx" in said
    assert len(said.splitlines()) == 2
    group.start("n1")
    assert (await group.client("n1").txn([], [Put(key="k", value=b"1")])).succeeded
    await group.close()


async def test_a_file_where_the_directory_belongs_is_refused(tmp_path: Path) -> None:
    group = StoreGroup(tmp_path, voters=("n1",))
    group.layout("n1").store.write_bytes(b"")
    assert "cannot be a directory" in refusal(group.layout("n1").data)


async def test_a_key_that_others_may_read_is_refused(stopped: StoreGroup) -> None:
    key = stopped.layout("n1").tls / "node.key"
    key.chmod(0o604)
    assert f"chmod 600 {key}" in refusal(stopped.layout("n1").data)


async def test_a_certificate_that_is_not_the_keys_is_refused(stopped: StoreGroup, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other-ca", "other", now_unix_ms=time.time_ns() // 1_000_000)
    issue_node(other, tmp_path / "other-tls", NodeId("n1"), now_unix_ms=time.time_ns() // 1_000_000)
    shutil.copy(tmp_path / "other-tls" / "node.pem", stopped.layout("n1").tls / "node.pem")
    said = refusal(stopped.layout("n1").data)
    assert "cannot be used" in said
    assert "as one set" in said
