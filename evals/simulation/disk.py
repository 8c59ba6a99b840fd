"""A disk that forgets what was not synced: a crash keeps some of it, in pieces; and it can be full, slow or damaged."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import dataclass, field

from runtime.consensus.raft.disk import LOG_SUFFIX
from runtime.consensus.raft.writer import Batch, Done

SECTOR_BYTES = 512


@dataclass(slots=True)
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: int = 0


class SimulatedDisk:
    """Implements Disk. `crash` leaves what a power loss might leave."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}  # names as they are on the platter
        self._moves: list[tuple[str, str, _File | None]] = []  # name changes since the last sync of names
        self.full = False
        self.bytes_written = 0

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        if name not in self._files:
            raise FileNotFoundError(name)
        data = self._files[name].data
        return bytes(data[offset:] if size < 0 else data[offset : offset + size])

    def append(self, name: str, data: bytes) -> None:
        file = self._file(name)
        if self.full:
            file.data += data[: self._rng.randrange(len(data) + 1)]
            raise OSError(errno.ENOSPC, "no space left on the simulated disk")
        file.data += data
        self.bytes_written += len(data)

    def sync(self, name: str) -> None:
        file = self._file(name)
        file.synced = len(file.data)

    def truncate(self, name: str, size: int) -> None:
        file = self._files[name]
        del file.data[size:]
        file.synced = len(file.data)

    def rename(self, name: str, to: str) -> None:
        file = self._files.pop(name)
        self._files[to] = file
        self._moves += [(to, "set", file), (name, "remove", None)]

    def remove(self, name: str) -> None:
        if self._files.pop(name, None) is not None:
            self._moves.append((name, "remove", None))

    def sync_names(self) -> None:
        self._durable = dict(self._files)
        self._moves.clear()

    def close(self) -> None: ...

    def crash(self) -> None:
        """What was synced stays; of the rest each sector may or may not be there, and a part of the name changes."""
        for name, kind, file in self._moves[: self._rng.randrange(len(self._moves) + 1)]:
            if kind == "set" and file is not None:
                self._durable[name] = file
            else:
                self._durable.pop(name, None)
        self._moves.clear()
        for name, file in self._durable.items():
            file.data = self._torn(file)
            if name.endswith(LOG_SUFFIX):  # room that was made for more
                file.data += bytes(self._rng.choice([0, 10, 3_000]))
            file.synced = len(file.data)
        self._files = dict(self._durable)
        self.full = False

    def flip_bit(self, suffix: str) -> str:
        """Damages a byte in a file well before its end; gives the file's name, or "" if there is none to damage."""
        names = [name for name, file in self._files.items() if name.endswith(suffix) and len(file.data) > 2_000]
        if not names:
            return ""
        name = self._rng.choice(sorted(names))
        data = self._files[name].data
        data[self._rng.randrange(0, len(data) // 2)] ^= 1 << self._rng.randrange(8)
        return name

    def _torn(self, file: _File) -> bytearray:
        kept, tail = file.data[: file.synced], file.data[file.synced :]
        end = self._rng.randrange(len(tail) + 1)
        for at in range(0, end, SECTOR_BYTES):
            sector = tail[at : min(end, at + SECTOR_BYTES)]
            kept += sector if self._rng.random() < 0.8 else bytes(len(sector))
        return kept

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File()
            self._moves.append((name, "set", file))
        return file


class SimulatedWriter:
    """Implements Writer: what is written is on disk a while later, or never if the crash comes first."""

    def __init__(self, disk: SimulatedDisk, rng: random.Random, *, slow: Slowness) -> None:
        self._disk = disk
        self._rng = rng
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._is_dead = False

    def write(self, batch: Batch, done: Done) -> None:
        try:
            for name, data in batch.appends:
                self._disk.append(name, data)
        except OSError as error:
            self._loop.call_soon(self._fail, batch, done, error)
            return
        self._loop.call_later(self._slow.seconds(self._rng), self._finish, batch, done)

    def crash(self) -> None:
        self._is_dead = True

    def close(self) -> None: ...

    def _fail(self, batch: Batch, done: Done, error: OSError) -> None:
        if not self._is_dead:
            done(batch.position, 0.0, error)

    def _finish(self, batch: Batch, done: Done) -> None:
        if self._is_dead:
            return
        for name in dict.fromkeys([name for name, _ in batch.appends] + list(batch.syncs)):
            self._disk.sync(name)
        if batch.begins:
            self._disk.sync_names()
        for name, to in batch.renames:
            self._disk.sync(name)
            self._disk.rename(name, to)
            self._disk.sync_names()
        for name in batch.removes:
            self._disk.remove(name)
        done(batch.position, 0.001, None)


@dataclass(slots=True)
class Slowness:
    """How long a sync takes at the moment, in seconds."""

    least: float = 0.0002
    most: float = 0.004

    def recover(self) -> None:
        self.least, self.most = 0.0002, 0.004

    def seconds(self, rng: random.Random) -> float:
        return rng.uniform(self.least, self.most)
