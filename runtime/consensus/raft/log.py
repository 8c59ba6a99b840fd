"""The log: entries in memory, records on disk, and what of it is durable. Implements pysyncobj's Journal.

The first entry in memory is the base: its index and term are known to be committed, its command is not needed any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, overload

import msgspec

from runtime.consensus.raft import records as r
from runtime.consensus.raft.core import EntryT
from runtime.consensus.raft.disk import LOG_SUFFIX, Disk
from runtime.consensus.raft.writer import Batch, Writer

SEGMENT_BYTES: Final = 8 * 1024 * 1024
FORMAT: Final = 1
_SUFFIX: Final = LOG_SUFFIX


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Whose log it is: the first record of every segment."""

    format: int
    cluster: str
    node: str


class _Segment(NamedTuple):
    name: str
    last_index: int


class Log:
    """Grows by records; `position` counts them, `synced` those that are on disk."""

    def __init__(self, disk: Disk, writer: Writer, owner: Owner, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk
        self._writer = writer
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._entries: list[EntryT] = []
        self._positions: list[int] = []  # of each entry's record
        self._term = 0
        self._vote: str | None = None
        self.position = self.synced = 0
        self.synced_changed: Callable[[], None] = lambda: None
        self.sync_s = 0.0  # how long the last sync took
        self.failed: OSError | None = None
        self._records: list[r.Record] = []  # not yet handed to the writer
        self._batch = 0
        self._writing = False
        self._syncing = False  # the batch that is being written syncs other files too
        self._segments: list[_Segment] = []
        self._size = 0  # of the newest segment
        self._removes: list[str] = []
        self._syncs: list[str] = []
        self._renames: list[tuple[str, str, Callable[[], None]]] = []
        self._replay()

    # -- durability ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hands what was added to the writer; it goes to disk together. While one batch is written the next gathers."""
        if self._writing or self.failed is not None:
            return
        if not (self._records or self._removes or self._syncs or self._renames):
            return
        begins = bool(self._records) and (not self._segments or self._size > self._segment_bytes)
        appends = [self._pack(begins)] if self._records else []
        renames, self._renames = self._renames, []
        batch = Batch(
            self.position,
            appends,
            begins=begins,
            syncs=tuple(self._syncs),
            renames=tuple((name, to) for name, to, _ in renames),
            removes=tuple(self._removes),
        )
        self._syncing = bool(self._syncs)
        self._syncs, self._removes = [], []
        self._writing = True
        self._writer.write(batch, lambda *ended: self._written(renames, *ended))

    def _pack(self, begins: bool) -> tuple[str, bytes]:
        self._batch += 1
        if begins:
            self._begin_segment()
        data = r.pack_batch(self._records, self._batch)
        name, last_index = self._segments[-1]
        newest = max((each.idx for each in self._records if each.kind == r.ENTRY), default=0)
        self._segments[-1] = _Segment(name, max(last_index, newest))
        self._size += len(data)
        self._records = []
        return name, data

    @property
    def durable_index(self) -> int:
        """The last entry that is on disk here, as are all before it."""
        at = len(self._entries) - 1
        while at > 0 and self._positions[at] > self.synced:
            at -= 1
        return self._entries[at][1] if self._entries else 0

    @property
    def bytes_on_disk(self) -> int:
        return self._size + self._segment_bytes * max(0, len(self._segments) - 1)

    def sync_soon(self, name: str) -> None:
        """Another file goes to disk with the next batch: a little at a time, a large one costs no pause."""
        self._syncs.append(name)

    @property
    def owes_syncs(self) -> bool:
        """Whether other files still wait to be synced."""
        return self._syncing or bool(self._syncs)

    def rename_soon(self, name: str, to: str, done: Callable[[], None]) -> None:
        """A whole file replaces another, in the order in which this was asked for; then `done` is called."""
        self._renames.append((name, to, done))

    def _written(
        self,
        renames: list[tuple[str, str, Callable[[], None]]],
        position: int,
        took_s: float,
        failed: OSError | None,
    ) -> None:
        self._writing = self._syncing = False
        self.failed = self.failed or failed
        if failed is None:
            self.synced = position
            self.sync_s = took_s
            for _, _, done in renames:
                done()
        self.flush()
        self.synced_changed()

    def _begin_segment(self) -> None:
        """Every segment is named by its first batch, and says whose it is, and the term and vote, so that those before
        it may go."""
        self._segments.append(_Segment(f"{self._batch:016x}{_SUFFIX}", 0))
        self._size = 0
        opening = [
            r.Record(r.OPEN, 0, 0, 0, msgspec.msgpack.encode(self._owner)),
            r.Record(r.STATE, 0, 0, self._term, (self._vote or "").encode()),
        ]
        self._records = opening + self._records

    # -- pysyncobj's Journal -----------------------------------------------------------------------------------------

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._record(r.Record(r.ENTRY, 0, idx, term, command))
        self._entries.append((command, idx, term))
        self._positions.append(self.position)

    def reset(self, index: int, term: int) -> None:
        """Nothing is left but the base: the last entry of a snapshot that is on disk."""
        self._record(r.Record(r.RESET, 0, index, term, b""))
        self._entries = [(b"", index, term)]
        self._positions = [self.position]
        self._drop_segments(index)

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802  pysyncobj's name
        self._record(r.Record(r.CUT, 0, self._entries[position][1], 0, b""))
        del self._entries[position:]
        del self._positions[position:]

    def deleteEntriesTo(self, position: int) -> None:  # noqa: N802
        """The entry at `position` becomes the base. A snapshot that includes it is on disk."""
        del self._entries[:position]
        del self._positions[:position]
        self._drop_segments(self._entries[0][1])

    @overload
    def __getitem__(self, position: int) -> EntryT: ...

    @overload
    def __getitem__(self, position: slice) -> list[EntryT]: ...

    def __getitem__(self, position: int | slice) -> EntryT | list[EntryT]:
        return self._entries[position]

    def __len__(self) -> int:
        return len(self._entries)

    def setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        self._term, self._vote = term, vote
        self._record(r.Record(r.STATE, 0, 0, term, (vote or "").encode()))

    def getCurrentTerm(self) -> int:  # noqa: N802
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        return self._vote

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802
        """Not kept: a restarted member learns it from the leader, or by leading."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        return 1

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Nothing to do each second."""

    def _destroy(self) -> None:
        self._writer.close()

    # -- by index ------------------------------------------------------------------------------------------------------

    @property
    def base_index(self) -> int:
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        return self._entries[-1][2]

    def term_at(self, index: int) -> int | None:
        """None where there is no entry."""
        at = index - self._entries[0][1]
        return self._entries[at][2] if 0 <= at < len(self._entries) else None

    def from_index(self, index: int, count: int) -> list[EntryT]:
        """Up to `count` entries from `index` on, which is behind the base."""
        at = index - self._entries[0][1]
        return self._entries[at : at + count]

    def cut_from(self, index: int) -> None:
        self.deleteEntriesFrom(index - self._entries[0][1])

    def forget_to(self, index: int) -> None:
        """Makes the entry at `index` the base."""
        self.deleteEntriesTo(index - self._entries[0][1])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _record(self, record: r.Record) -> None:
        self._records.append(record)
        self.position += 1

    def _drop_segments(self, base: int) -> None:
        """The segments whose entries all lie before the base go, once what replaces them is on disk."""
        while len(self._segments) > 1 and self._segments[0].last_index < base:
            self._removes.append(self._segments.pop(0).name)

    def _replay(self) -> None:
        names = sorted(name for name in self._disk.names() if name.endswith(_SUFFIX))
        for at, name in enumerate(names):
            data = self._disk.read(name)
            self._check_follows(name, is_oldest=at == 0)
            found = r.scan(data, name=name, batch=self._batch, newest=at == len(names) - 1)
            self._batch = found.batch
            newest = 0
            for record in found.records:
                self._replayed(record, name)
                newest = max(newest, record.idx if record.kind == r.ENTRY else 0)
            if not found.good:
                self._disk.remove(name)
                continue
            if found.good < len(data):
                self._disk.truncate(name, found.good)
            self._size = found.good
            self._segments.append(_Segment(name, newest))
        self._make_last()
        self.position = self.synced = len(self._entries)
        self._positions = [0] * len(self._entries)

    def _make_last(self) -> None:
        """A process that was killed leaves to the system what it wrote and did not sync: it is read like the rest, and
        counts as durable from here on, so it has to be. What is on disk already costs nothing."""
        for segment in self._segments:
            self._disk.sync(segment.name)
        self._disk.sync_names()

    def _check_follows(self, name: str, *, is_oldest: bool) -> None:
        """A segment's name is no part of its bytes, so damage cannot hide which batch has to come first in it."""
        try:
            first = int(name.removesuffix(_SUFFIX), 16)
        except ValueError:
            raise r.LogDamaged(f"{name} is no segment of a log; move it out of the directory") from None
        if is_oldest:
            self._batch = first - 1
        elif first != self._batch + 1:
            raise r.LogDamaged(f"{name} follows batch {self._batch}: a segment between them is missing")

    def _replayed(self, record: r.Record, name: str) -> None:
        match record.kind:
            case r.OPEN:
                self._check_owner(record.body, name)
            case r.ENTRY:
                if self._entries and record.idx != self.last_index + 1:
                    raise r.LogDamaged(f"{name}: entry {record.idx} follows entry {self.last_index}")
                self._entries.append((record.body, record.idx, record.term))
            case r.CUT:
                del self._entries[max(0, record.idx - self._entries[0][1]) if self._entries else 0 :]
            case r.RESET:
                self._entries = [(b"", record.idx, record.term)]
            case r.STATE:
                self._term, self._vote = record.term, record.body.decode() or None

    def _check_owner(self, body: bytes, name: str) -> None:
        owner = msgspec.msgpack.decode(body, type=Owner)
        if owner != self._owner:
            raise r.LogDamaged(
                f"{name} is the log of {owner.node} in cluster {owner.cluster} (format {owner.format}), "
                f"not of {self._owner.node} in {self._owner.cluster} (format {self._owner.format})"
            )
