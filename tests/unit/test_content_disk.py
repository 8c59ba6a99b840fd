"""Content on disk: a name never lies, and nothing half-written stays."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.content.disk import DiskContent
from runtime.content.errors import ContentDiskFull, ContentMismatch, ContentNameInvalid, ContentTooLarge
from runtime.content.placement import keepers, wanted_copies
from runtime.names import NodeId, Sha256

pytestmark = pytest.mark.anyio

BODY = b"slices " * 10_000
NAME = Sha256(hashlib.sha256(BODY).hexdigest())


async def pieces(body: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.fixture
def disk(tmp_path: Path) -> DiskContent:
    disk = DiskContent(tmp_path / "content", size_bytes_max=1024 * 1024)
    disk.open()
    return disk


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "content").rglob("*") if path.is_file()]


async def test_what_was_put_is_read_back_under_its_hash(disk: DiskContent) -> None:
    assert await disk.put(pieces(BODY)) == NAME
    assert disk.path(NAME).read_bytes() == BODY
    assert b"".join([piece async for piece in disk.read(NAME)]) == BODY
    assert tuple(disk.names()) == (NAME,)
    assert disk.path(NAME).stat().st_mode & 0o777 == 0o400


async def test_putting_twice_is_no_error(disk: DiskContent) -> None:
    assert await disk.put(pieces(BODY)) == await disk.put(pieces(BODY), expected=NAME)


async def test_a_truncated_upload_is_refused_and_leaves_nothing(disk: DiskContent, tmp_path: Path) -> None:
    with pytest.raises(ContentMismatch):
        await disk.put(pieces(BODY[:-1]), expected=NAME)
    assert leftovers(tmp_path) == []


async def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(disk: DiskContent, tmp_path: Path) -> None:
    with pytest.raises(ContentTooLarge):
        await disk.put(pieces(bytes(1024 * 1024 + 1)))
    assert leftovers(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(disk: DiskContent, tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield BODY
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await disk.put(breaking())
    assert leftovers(tmp_path) == []


async def test_a_cancelled_upload_leaves_nothing(disk: DiskContent, tmp_path: Path) -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield BODY
        await anyio.sleep_forever()

    with anyio.move_on_after(0.02):
        await disk.put(hanging())
    assert leftovers(tmp_path) == []


async def test_a_full_disk_is_named_as_such(disk: DiskContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ContentDiskFull, match="No space left"):
        await disk.put(pieces(BODY))
    assert leftovers(tmp_path) == []


async def test_opening_clears_what_a_crash_left_half_written(disk: DiskContent, tmp_path: Path) -> None:
    (tmp_path / "content" / "incoming" / "half").write_bytes(b"half")
    disk.open()
    assert leftovers(tmp_path) == []


async def test_altered_bytes_are_noticed_and_set_aside(disk: DiskContent, tmp_path: Path) -> None:
    await disk.put(pieces(BODY))
    disk.path(NAME).chmod(0o600)
    disk.path(NAME).write_bytes(BODY[:-1] + b"!")
    assert not await disk.verify(NAME)
    assert not disk.has(NAME)
    assert [path.name[:64] for path in (tmp_path / "content" / "damaged").iterdir()] == [NAME]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
async def test_a_name_from_outside_never_becomes_a_path(disk: DiskContent, name: str) -> None:
    with pytest.raises(ContentNameInvalid):
        disk.path(Sha256(name))


nodes = st.sets(st.sampled_from([NodeId(f"n{number}") for number in range(8)]), min_size=1)


@given(live=nodes, name=st.integers(0, 1000))
def test_keepers_are_three_live_nodes_or_all(live: set[NodeId], name: int) -> None:
    kept = keepers(Sha256(str(name)), live)
    assert len(set(kept)) == min(3, len(live))
    assert set(kept) <= live


@given(live=nodes, gone=nodes, name=st.integers(0, 1000))
def test_a_node_that_leaves_moves_only_its_own_share(live: set[NodeId], gone: set[NodeId], name: int) -> None:
    before = keepers(Sha256(str(name)), live)
    after = keepers(Sha256(str(name)), live - gone)
    assert set(before) - gone <= set(after)


@given(live=nodes, having=nodes, name=st.integers(0, 1000))
def test_together_the_nodes_fetch_exactly_the_copies_that_are_missing(
    live: set[NodeId], having: set[NodeId], name: int
) -> None:
    """Fewer and bytes may be lost with the next node; more and every node would keep everything."""
    content = {Sha256(str(name)): having}
    fetching = [node for node in live if wanted_copies(node, live, content)]
    alive = having & live
    missing = max(0, min(3, len(live)) - len(alive)) if alive else 0
    assert len(fetching) == missing
    assert not set(fetching) & having
