"""The history of minutes as this node keeps it: written and read off the loop, and whole again after any fault."""

from __future__ import annotations

import contextlib
import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from controllers.context.errors import HistoryAway, HistoryForeign
from controllers.context.history_file import HistoryFile, Span
from controllers.context.minute import SliceMinute
from runtime.cluster.membership import Lines

PENDING_MAX: Final = 60  # minutes that wait while the disk refuses: an hour; then the oldest go
FILE_NAME: Final = "minutes.db"

ResultT = TypeVar("ResultT")


class MinuteHistory:
    """One file, one thread at a time: a read waits for a write, which takes some milliseconds.

    A file that is damaged or of another release is moved aside and a new one begun: other core nodes fill it.
    """

    def __init__(self, directory: Path, *, days: int, bytes_max: int, log: Lines) -> None:
        self._path = directory / FILE_NAME
        self._days, self._bytes_max = days, bytes_max
        self._log = log
        self._file: HistoryFile | None = None
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._pending: deque[tuple[int, Sequence[SliceMinute]]] = deque()
        self._told = anyio.Event()
        self._is_failing = False

    def tell(self, minute: int, minutes: Sequence[SliceMinute]) -> None:
        """Of all slices; written a moment later, by `run`."""
        if len(self._pending) == PENDING_MAX:
            self._pending.popleft()
            self._log.warning("history_minute_lost", pending=PENDING_MAX)
        self._pending.append((minute, minutes))
        self._told.set()

    async def run(self) -> None:
        """Writes what is told, until it is cancelled; what a refusing disk leaves is tried again a minute later."""
        try:
            while True:
                await self._told.wait()
                self._told = anyio.Event()
                with contextlib.suppress(HistoryAway):
                    await self._write()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _write(self) -> None:
        while self._pending:
            minute, minutes = self._pending[0]

            def write(file: HistoryFile, minute: int = minute, minutes: Sequence[SliceMinute] = minutes) -> None:
                file.append(minutes)
                file.seal(minute + 1)

            await self.ask(write)
            if self._pending and self._pending[0][1] is minutes:  # not dropped meanwhile
                self._pending.popleft()

    async def _close(self) -> None:
        """With what was told last. A disk that refuses it now has refused it before."""
        with contextlib.suppress(HistoryAway):
            await self._write()
        if self._file is not None:
            await anyio.to_thread.run_sync(self._file.close, limiter=self._one_at_a_time)
            self._file = None

    async def load(self, spans: Sequence[Span]) -> list[array[float]]:
        """Each span's values, float32, NaN where nothing is known. Raises HistoryAway."""
        return await self.ask(lambda file: file.load(spans))

    async def ask(self, work: Callable[[HistoryFile], ResultT]) -> ResultT:
        """What `work` gives, done in a thread. Raises HistoryAway."""
        try:
            found = await anyio.to_thread.run_sync(lambda: self._done(work), limiter=self._one_at_a_time)
        except HistoryAway as away:
            if not self._is_failing:
                self._log.warning("history_failed", error=str(away))
            self._is_failing = True
            raise
        if self._is_failing:
            self._is_failing = False
            self._log.info("history_recovered")
        return found

    # -- in the thread -------------------------------------------------------------------------------------------------

    def _done(self, work: Callable[[HistoryFile], ResultT]) -> ResultT:
        try:
            return self._tried(work)
        except (HistoryForeign, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError):  # full, read-only, gone: not damaged
                raise HistoryAway(f"{self._path.name}: {error}") from error
            self._move_aside(error)
        try:
            return self._tried(work)
        except (HistoryForeign, sqlite3.DatabaseError) as error:
            raise HistoryAway(f"{self._path.name}, begun anew: {error}") from error

    def _tried(self, work: Callable[[HistoryFile], ResultT]) -> ResultT:
        if self._file is None:
            try:
                self._file = HistoryFile(self._path, days=self._days, bytes_max=self._bytes_max)
            except OSError as error:
                raise HistoryAway(f"{self._path.parent}: {error.strerror}") from error
        return work(self._file)

    def _move_aside(self, why: Exception) -> None:
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
            self._file = None
        aside = self._path.with_suffix(".damaged")
        try:
            self._path.rename(aside)
            for suffix in ("-wal", "-shm"):  # of the old file: they must not be taken for the new one's
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise HistoryAway(f"{self._path.name} is damaged ({why}) and cannot be moved: {error.strerror}") from why
        self._log.warning("history_moved_aside", file=aside.name, reason=str(why))
