"""Snapshots of a member: its own, written beside the work, and those it sends or receives where no log reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from runtime.consensus.raft import messages as m
from runtime.consensus.raft.elections import Elections
from runtime.consensus.raft.membership import change_of, changed
from runtime.consensus.raft.replica import Parts
from runtime.consensus.raft.snapshot import (
    INSTALLING,
    NAME,
    OWN,
    Header,
    SnapshotDamaged,
    SnapshotWriter,
    read_snapshot,
)

PIECE_BYTES: Final = 256 * 1024
RESEND_S: Final = 1.0
SYNC_BLOCKS: Final = 2  # written blocks between syncs: some 200 KB, behind which the log's own sync may have to wait


@dataclass(slots=True)
class _Sending:
    index: int
    offset: int
    sent_s: float


@dataclass(slots=True)
class _Receiving:
    term: int
    index: int
    offset: int


class Installs(Elections):
    def __init__(self, parts: Parts) -> None:
        self._every, self._kept = parts.snapshot_every, parts.snapshot_kept
        self.snapshot: Header | None = None  # the one on disk
        self._writing: SnapshotWriter | None = None
        self._blocks = 0
        self._writing_since_s = 0.0
        self._sending: dict[str, _Sending] = {}
        self._receiving: _Receiving | None = None
        self._publishing = self._installing = False  # a whole file waits for the writer to rename it
        super().__init__(parts)
        self._load()

    # -- at the start --------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """What is on disk. Raises SnapshotDamaged, or LogDamaged where the log does not go on from the snapshot."""
        for leftover in (OWN, INSTALLING):
            self.disk.remove(leftover)
        if NAME in self.disk.names():
            self._restore(*read_snapshot(self.disk.read(NAME), cluster=self.cluster))
            assert self.snapshot is not None
            if self.log.last_index <= self.snapshot.index:  # a crash came between snapshot and log
                self.log.reset(self.snapshot.index, self.snapshot.term)
        first = self.snapshot.index if self.snapshot is not None else 1
        if self.log.base_index > first:
            raise SnapshotDamaged(f"the log begins at entry {self.log.base_index}, the snapshot ends at {first}")
        self.count_members()
        self.meet({name: peer.address for name, peer in self.bootstrap.items()})

    def _restore(self, header: Header, blocks: list[Any]) -> None:
        self.machine.restore(blocks)
        self.applied_index = header.index
        self.commit_index = max(self.commit_index, header.index)
        self.base_members, self.base_members_index = header.members, header.index
        self.snapshot = header

    # -- its own -------------------------------------------------------------------------------------------------------

    def write_snapshot(self, *, now: bool = False) -> None:
        """To be called with every tick: begins one when it is due (or `now`), and goes on with it a little."""
        if self._publishing or self._installing:
            return
        if self._writing is None:
            last = self.snapshot.index if self.snapshot is not None else 0
            if self.applied_index - last >= self._every or (now and self.applied_index > last):
                self._begin_snapshot()
            return
        if self.log.owes_syncs:
            return
        self._blocks += 1
        if not self._writing.step():
            self._publish(self._writing)
        elif self._blocks % SYNC_BLOCKS == 0:
            self.log.sync_soon(OWN)

    def _publish(self, written: SnapshotWriter) -> None:
        self._writing = None
        self._publishing = True
        self.log.rename_soon(OWN, NAME, lambda: self._published(written.header, written.bytes))

    @property
    def is_writing(self) -> bool:
        """Whether the next tick can go on with it."""
        return self._writing is not None and not self._installing and not self.log.owes_syncs

    @property
    def is_between_snapshots(self) -> bool:
        """One is being written, published, received or installed, and does not count yet."""
        return self._publishing or self._installing or self._writing is not None or self._receiving is not None

    def _begin_snapshot(self) -> None:
        index = self.applied_index
        term = self.log.term_at(index)
        assert term is not None
        header = Header(cluster=self.cluster, index=index, term=term, members=self._members_at(index))
        self._writing = SnapshotWriter(self.disk, header, self.machine.snapshot())
        self._blocks = 0
        self._writing_since_s = self.clock()

    def _members_at(self, index: int) -> dict[str, Any]:
        """Those that entries up to `index` made: later changes may yet be undone."""
        members = self.base_members
        first = max(self.base_members_index, self.log.base_index) + 1
        for entry in self.log.from_index(first, max(0, index - first + 1)):
            change = change_of(entry)
            if change is not None:
                members = changed(members, change)
        return members

    def _published(self, header: Header, size: int) -> None:
        """The snapshot is on disk under its name: the log before it may go, but for what a slow member may ask for."""
        self._publishing = False
        if self.snapshot is not None and header.index < self.snapshot.index:
            return
        self.snapshot = header
        self.base_members, self.base_members_index = header.members, header.index
        keep = header.index - self._kept
        if keep > self.log.base_index:
            self.log.forget_to(keep)
        took_ms = round((self.clock() - self._writing_since_s) * 1_000, 3)
        self.note("snapshot_written", {"index": header.index, "bytes": size, "took_ms": took_ms})

    # -- sending -------------------------------------------------------------------------------------------------------

    def install(self, node: Any, beat: bool) -> None:
        """Sends the snapshot to a member that lacks what the log has let go; again what was not answered."""
        if self.snapshot is None:
            return
        sending = self._sending.get(node.id)
        if sending is None or sending.index != self.snapshot.index:
            sending = self._sending[node.id] = _Sending(self.snapshot.index, 0, -RESEND_S)
            self.note("snapshot_sending", {"member": node.id, "index": sending.index})
        if self.clock() - sending.sent_s >= RESEND_S:
            self._send_piece(node, sending)
        elif beat:
            self.send(node, m.Probe(self.term, 0))

    def _send_piece(self, node: Any, sending: _Sending) -> None:
        data = self.disk.read(NAME, sending.offset, PIECE_BYTES)
        sending.sent_s = self.clock()
        last = len(data) < PIECE_BYTES
        self.send(node, m.Install(self.term, sending.index, sending.offset, data, last))

    def on_installing(self, node: Any, message: m.Installing) -> None:
        self.follow_term(message.term)
        sending = self._sending.get(node.id)
        if not self.is_leader or message.term != self.term or node not in self.peers:
            return
        if sending is None or sending.index != message.index:
            return
        self.heard_s[node] = self.clock()
        if self.snapshot is not None and self.snapshot.index == sending.index:
            sending.offset = message.offset
            self._send_piece(node, sending)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def on_install(self, node: Any, message: m.Install) -> None:
        if not self.accept_leader(node, message.term) or self._installing:
            return
        if message.index <= self.commit_index:
            self.promise(node, m.Appended(self.term, ok=True, index=self.commit_index))
            return
        if message.offset == 0:
            self.disk.remove(INSTALLING)
            self._receiving = _Receiving(message.term, message.index, 0)
        receiving = self._receiving
        if receiving is None or (receiving.term, receiving.index) != (message.term, message.index):
            self.send(node, m.Installing(self.term, message.index, 0))
        elif receiving.offset != message.offset:
            self.send(node, m.Installing(self.term, message.index, receiving.offset))
        else:
            self._receive(node, receiving, message)

    def _receive(self, node: Any, receiving: _Receiving, message: m.Install) -> None:
        self.disk.append(INSTALLING, message.data)
        receiving.offset += len(message.data)
        if not message.last:
            self.send(node, m.Installing(self.term, message.index, receiving.offset))
            return
        self._receiving = None
        raw = self.disk.read(INSTALLING)
        try:
            header, blocks = read_snapshot(raw, cluster=self.cluster)
        except SnapshotDamaged as damage:
            self.note("snapshot_refused", {"member": node.id, "error": str(damage)})
            self.send(node, m.Installing(self.term, message.index, 0))
            return
        self._writing = None  # an older one of its own must not replace it
        self._installing = True
        self.log.rename_soon(INSTALLING, NAME, lambda: self._installed(node, header, blocks))

    def _installed(self, node: Any, header: Header, blocks: list[Any]) -> None:
        """The received snapshot is on disk under its name. Entries behind it stay if they go on from it."""
        self._installing = False
        if header.index <= self.commit_index:
            return  # the log came all the way meanwhile, and the file is as good as its own
        self._restore(header, blocks)
        if self.log.term_at(header.index) == header.term:
            self.log.forget_to(header.index)
        else:
            self.log.reset(header.index, header.term)
        self.count_members()
        self.note("snapshot_installed", {"index": header.index})
        self.promise(node, m.Appended(self.term, ok=True, index=header.index))
