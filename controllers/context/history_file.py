"""The minutes of all slices in one SQLite file. Blocking: its owner calls it off the loop, one thread at a time."""

from __future__ import annotations

import math
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from controllers.context.errors import HistoryForeign, HourDamaged
from controllers.context.hour import MINUTES, Hour, packed_row, unpacked_row
from controllers.context.minute import COLUMNS, SliceMinute

FILE_VERSION: Final = 1
PAGE_BYTES: Final = 8_192  # four packed hours; with pages of 4 KiB a third of the file stays empty
CACHE_KIB: Final = 256  # of pages in memory; SQLite's own default is 2 MB
BUSY_MS: Final = 2_000
STEADY_HOURS_MAX: Final = 2
PRUNED_AT_ONCE: Final = 24  # hours; a day less is little, and the file is then far enough below its limit

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS minutes (minute INTEGER, slice TEXT, version TEXT, row BLOB, PRIMARY KEY (minute, slice))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hours (slice TEXT, hour INTEGER, known INTEGER, packed BLOB, UNIQUE (slice, hour));
CREATE TABLE IF NOT EXISTS capacities (slice TEXT PRIMARY KEY, minute INTEGER, packed BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hours_by_hour ON hours (hour, slice, known);
"""


class Span(NamedTuple):
    """So many minutes of one slice's column, from `first` on."""

    slice: str
    first: int
    minutes: int
    column: str = "invocations"


class HourPlace(NamedTuple):
    slice: str
    hour: int


class HistoryFile:
    """Minutes go into a small table as they come and are packed by slice and hour when the hour is over, so that a
    minute costs a few bytes of writing and an hour is read with one look.

    Write-ahead logged: a process that is killed loses nothing that `append` returned from, a machine that loses power
    the last moments at most; neither damages the file. Raises sqlite3.Error.
    """

    def __init__(self, path: Path, *, days: int, bytes_max: int) -> None:
        """Opens or makes the file. Raises HistoryForeign, or sqlite3.DatabaseError where it is damaged."""
        self._days, self._bytes_max = days, bytes_max
        self._sealed_until = -1
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(path)
        except (sqlite3.Error, HistoryForeign):
            self._database.close()
            raise

    def _prepare(self, path: Path) -> None:
        database = self._database
        for pragma in (f"cache_size = -{CACHE_KIB}", f"busy_timeout = {BUSY_MS}", "synchronous = NORMAL"):
            database.execute(f"PRAGMA {pragma}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != FILE_VERSION and (version or tables):
            raise HistoryForeign(f"{path.name} is of version {version}, not {FILE_VERSION}")
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {FILE_VERSION}; COMMIT;")

    def close(self) -> None:
        self._database.close()

    # -- writing -------------------------------------------------------------------------------------------------------

    def append(self, minutes: Iterable[SliceMinute]) -> None:
        """A minute that is known already is replaced: it is told again when the clock was set back."""
        rows = [(each.minute, each.slice, each.version, packed_row(each.row())) for each in minutes]
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?)", rows)

    def seal(self, now_minute: int) -> None:
        """Packs the hours that are over, and lets go of what is too old or too much.

        Nothing is too old right after a jump of the clock: one wrong hour must not cost weeks of history.
        """
        hour = now_minute // MINUTES
        if hour == self._sealed_until:
            return
        is_steady = 0 < hour - self._sealed_until <= STEADY_HOURS_MAX
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for (over,) in self._database.execute(
                "SELECT DISTINCT minute / 60 FROM minutes WHERE minute < ?", (hour * MINUTES,)
            ).fetchall():
                self._pack(over)
            if is_steady:
                self._database.execute("DELETE FROM hours WHERE hour < ?", (hour - self._days * 24,))
        self._sealed_until = hour
        self._shrink()

    def _pack(self, hour: int) -> None:
        found: dict[str, Hour] = {}
        for minute, name, version, raw in self._open_minutes(hour * MINUTES, MINUTES):
            if name not in found:
                found[name] = self._packed(name, hour) or Hour()
            found[name].put(minute % MINUTES, raw, version)
        self._keep((name, hour, each) for name, each in found.items())
        self._database.execute(
            "DELETE FROM minutes WHERE minute BETWEEN ? AND ?", (hour * MINUTES, hour * MINUTES + MINUTES - 1)
        )

    def _keep(self, hours: Iterable[tuple[str, int, Hour]]) -> None:
        rows = [(name, hour, each.known, each.pack()) for name, hour, each in hours]
        self._database.executemany("INSERT OR REPLACE INTO hours VALUES (?, ?, ?, ?)", rows)

    def _shrink(self) -> None:
        """Below the limit, the oldest first. Pages that are free are written again before the file grows."""
        while self.nbytes > self._bytes_max:
            oldest = self._database.execute("SELECT min(hour) FROM hours").fetchone()[0]
            if oldest is None:
                return
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute("DELETE FROM hours WHERE hour < ?", (oldest + PRUNED_AT_ONCE,))

    @property
    def nbytes(self) -> int:
        """Of the pages in use."""
        figures = [self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")]
        page = int(self._database.execute("PRAGMA page_size").fetchone()[0])
        return int(figures[0] - figures[1]) * page

    def fill(self, hours: Mapping[tuple[str, int], bytes]) -> int:
        """Takes the minutes that this file lacks from packed hours of another node's; gives how many. Damaged ones are
        left out."""
        filled = 0
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for (name, hour), raw in hours.items():
                try:
                    theirs = Hour.unpack(raw)
                except HourDamaged:
                    continue
                ours = self._packed(name, hour) or Hour()
                if gained := ours.fill(theirs):
                    self._keep([(name, hour, ours)])
                    filled += gained
        return filled

    def keep_capacities(self, minute: int, packed: Mapping[str, bytes]) -> None:
        """What each slice's versions were last known to carry; of one that is not told of for `days` it goes."""
        rows = [(name, minute, each) for name, each in packed.items()]
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO capacities VALUES (?, ?, ?)", rows)
            self._database.execute("DELETE FROM capacities WHERE minute < ?", (minute - self._days * 1_440,))

    # -- reading -------------------------------------------------------------------------------------------------------

    def load(self, spans: Sequence[Span]) -> list[array[float]]:
        """Each span's values, float32, NaN where nothing is known."""
        found = [array("f", [math.nan]) * span.minutes for span in spans]
        by_minutes: dict[tuple[int, int], dict[str, list[int]]] = {}
        for at, span in enumerate(spans):
            self._load_packed(span, found[at])
            by_minutes.setdefault((span.first, span.minutes), {}).setdefault(span.slice, []).append(at)
        for (first, count), places in by_minutes.items():
            for minute, name, _, row in self._open_minutes(first, count):
                for at in places.get(name, ()):
                    found[at][minute - first] = row[COLUMNS.index(spans[at].column)]
        return found

    def _load_packed(self, span: Span, into: array[float]) -> None:
        last = span.first + span.minutes - 1
        for hour, each in self._packed_hours(span.slice, span.first // MINUTES, last // MINUTES):
            begins = hour * MINUTES
            first, until = max(span.first, begins), min(last + 1, begins + MINUTES)
            into[first - span.first : until - span.first] = each.column(span.column)[first - begins : until - begins]

    def _packed_hours(self, name: str, first: int, last: int) -> Iterator[tuple[int, Hour]]:
        """Those that can be read; one that is damaged goes, so that it is asked for again."""
        query = "SELECT hour, packed FROM hours WHERE slice = ? AND hour BETWEEN ? AND ?"
        for hour, raw in self._database.execute(query, (name, first, last)).fetchall():
            try:
                yield hour, Hour.unpack(raw)
            except HourDamaged:
                self._database.execute("DELETE FROM hours WHERE slice = ? AND hour = ?", (name, hour))

    def _packed(self, name: str, hour: int) -> Hour | None:
        return next((each for _, each in self._packed_hours(name, hour, hour)), None)

    def _open_minutes(self, first: int, count: int) -> Iterator[tuple[int, str, str, array[float]]]:
        query = "SELECT minute, slice, version, row FROM minutes WHERE minute BETWEEN ? AND ?"
        for minute, name, version, raw in self._database.execute(query, (first, first + count - 1)).fetchall():
            try:
                yield minute, name, version, unpacked_row(raw)
            except HourDamaged:
                continue

    def hour(self, name: str, hour: int) -> Hour:
        """With the minutes that are not packed yet."""
        found = self._packed(name, hour) or Hour()
        for minute, other, version, row in self._open_minutes(hour * MINUTES, MINUTES):
            if other == name:
                found.put(minute % MINUTES, row, version)
        return found

    def places(self, after: HourPlace, first: int, until: int, *, limit: int, only: str = "") -> list[HourPlace]:
        """Hours from `first` to before `until` of which anything is known, behind `after`. only: of one slice."""
        query = """
            SELECT slice, hour FROM hours WHERE hour >= ?1 AND hour < ?2
                AND (slice, hour) > (?3, ?4) AND (?5 = '' OR slice = ?5)
            UNION SELECT slice, minute / 60 FROM minutes WHERE minute >= ?1 * 60 AND minute < ?2 * 60
                AND (slice, minute / 60) > (?3, ?4) AND (?5 = '' OR slice = ?5)
            ORDER BY 1, 2 LIMIT ?6"""
        return [HourPlace(*row) for row in self._database.execute(query, (first, until, *after, only, limit))]

    def known(self, first_hour: int, hours: int) -> dict[tuple[str, int], int]:
        """Which minutes are known, by slice and hour: bit 0 is the hour's first."""
        until = first_hour + hours - 1
        query = "SELECT slice, hour, known FROM hours WHERE hour BETWEEN ? AND ?"
        found = {(name, hour): known for name, hour, known in self._database.execute(query, (first_hour, until))}
        query = """SELECT slice, minute / 60, sum(1 << (minute % 60)) FROM minutes WHERE minute BETWEEN ? AND ?
            GROUP BY 1, 2"""
        for name, hour, open_ in self._database.execute(query, (first_hour * MINUTES, until * MINUTES + MINUTES - 1)):
            found[name, hour] = found.get((name, hour), 0) | open_
        return found

    def capacities(self) -> dict[str, tuple[int, bytes]]:
        """By slice: when it was told, and what."""
        query = "SELECT slice, minute, packed FROM capacities"
        return {name: (minute, packed) for name, minute, packed in self._database.execute(query)}

    def slices(self) -> list[str]:
        """Those of which anything is known."""
        query = "SELECT DISTINCT slice FROM hours UNION SELECT DISTINCT slice FROM minutes ORDER BY 1"
        return [name for (name,) in self._database.execute(query)]
