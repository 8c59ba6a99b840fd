"""Snapshots outside of a member's directory: saved from a running member, verified, and made ready to start from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runtime.consensus.backup_stream import snapshot_chunks
from runtime.consensus.errors import StoreFault
from runtime.consensus.machine import Machine
from runtime.consensus.raft.disk import RealDisk
from runtime.consensus.raft.membership import Members
from runtime.consensus.raft.snapshot import NAME, OWN, Header, SnapshotDamaged, SnapshotWriter, read_any_snapshot
from runtime.consensus.state_blocks import StateBlock, leases_of
from runtime.consensus.store import Revision
from runtime.invocation.connection import Connection

FIRST_INDEX: Final = 2  # entry 1 is in every log from the start: a snapshot at 1 would never be sent to a new member


class BackupUnusable(StoreFault):
    """A file that is no whole snapshot, or cannot be read."""

    code = "backup_unusable"
    remedy = "Take another backup: aether store snapshot save FILE."


class BackupUnwritable(StoreFault):
    code = "backup_unwritable"
    remedy = "Name a file that is not there yet, in a directory that you may write to and that has room."


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot file holds."""

    cluster: str
    revision: Revision
    index: int
    term: int
    members: tuple[str, ...]
    keys: int
    leases: int
    bytes: int
    sha256: str


async def save(
    connection: Connection,
    path: Path,
    *,
    at_least: Revision,
    progress: Callable[[int, int], None] = lambda _a, _b: None,
) -> Summary:
    """Writes a member's snapshot that includes that revision, verified, on disk, or nothing at all. `progress` is
    told bytes done and of how many. Raises BackupUnusable, BackupUnwritable, StoreUnavailable."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)  # it holds what the store holds
            async for chunk, total in snapshot_chunks(connection, at_least):
                file.write(chunk)
                progress(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())
        summary = verify(unfinished)
        unfinished.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise BackupUnwritable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return summary


def verify(path: Path) -> Summary:
    """Reads all of it. Raises BackupUnusable."""
    raw = _read(path)
    header, blocks = _snapshot_of(path, raw)
    return Summary(
        cluster=header.cluster,
        revision=blocks[0].revision,
        index=header.index,
        term=header.term,
        members=tuple(sorted(header.members)),
        keys=sum(len(block.items) for block in blocks),
        leases=len(leases_of(blocks)),
        bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def load(path: Path) -> tuple[Header, Machine]:
    """The state in the file. Raises BackupUnusable."""
    header, blocks = _snapshot_of(path, _read(path))
    machine = Machine()
    machine.restore(blocks)
    return header, machine


def begin_from(directory: Path, machine: Machine, *, cluster: str, members: Members) -> None:
    """Makes a store directory whose member starts from that state, in a group of its own. Its log begins anew, so terms
    do too."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    disk = RealDisk(directory)
    try:
        header = Header(cluster=cluster, index=FIRST_INDEX, term=0, members=members)
        writer = SnapshotWriter(disk, header, machine.snapshot())
        while writer.step():
            pass
        disk.sync(OWN)
        disk.rename(OWN, NAME)
        disk.sync_names()
    finally:
        disk.close()
    _sync_directory(directory.parent)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}") from error


def _snapshot_of(path: Path, raw: bytes) -> tuple[Header, list[StateBlock]]:
    try:
        header, blocks = read_any_snapshot(raw)
    except SnapshotDamaged as damage:
        raise BackupUnusable(f"{path}: {damage}") from damage
    if not blocks:
        raise BackupUnusable(f"{path}: the snapshot holds no state")
    return header, blocks


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
