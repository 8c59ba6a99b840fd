"""Who writes the log to disk: a thread of its own, so that a slow disk does not stop a leader's heartbeats."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from runtime.consensus.raft.disk import Disk


class Batch(NamedTuple):
    """Written and synced in this order; `position` is the log's after it."""

    position: int
    appends: list[tuple[str, bytes]]  # segment, bytes
    begins: bool = False  # a segment of it is new, so its name has to be synced too
    syncs: tuple[str, ...] = ()  # other files to sync
    renames: tuple[tuple[str, str], ...] = ()  # whole files that replace others, synced before
    removes: tuple[str, ...] = ()


Done = Callable[[int, float, OSError | None], None]
"""(position, seconds of the sync, what failed)."""


class Writer(Protocol):
    """One batch at a time."""

    def write(self, batch: Batch, done: Done) -> None:
        """`done` is called later, on the loop."""
        ...

    def close(self) -> None: ...


def write_batch(disk: Disk, batch: Batch) -> float:
    """Gives the seconds that syncing took. Raises OSError."""
    for name, data in batch.appends:
        disk.append(name, data)
    began_s = time.perf_counter()
    for name in dict.fromkeys(name for name, _ in batch.appends):
        disk.sync(name)
    if batch.begins:
        disk.sync_names()
    took_s = time.perf_counter() - began_s
    for name in batch.syncs:
        disk.sync(name)
    for name, to in batch.renames:
        disk.sync(name)
        disk.rename(name, to)
        disk.sync_names()
    for name in batch.removes:
        disk.remove(name)
    return took_s


class ThreadWriter:
    """Implements Writer with the store process's only thread besides its main one that runs Python: libuv's look up
    names."""

    def __init__(self, disk: Disk, loop: asyncio.AbstractEventLoop) -> None:
        self._disk = disk
        self._loop = loop
        self._batches: queue.SimpleQueue[tuple[Batch, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, batch: Batch, done: Done) -> None:
        self._batches.put((batch, done))

    def close(self) -> None:
        """Returns once everything handed over is on disk."""
        self._batches.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._batches.get()) is not None:
            batch, done = work
            took_s, failed = 0.0, None
            try:
                took_s = write_batch(self._disk, batch)
            except OSError as error:
                failed = error
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(done, batch.position, took_s, failed)
            if failed is not None:
                return  # what follows would leave a hole
