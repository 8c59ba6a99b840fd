"""The whole state in pieces: none is larger than what is read back, and making one is a moment's work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from runtime.consensus import commands as c
from runtime.consensus.leases import Lease
from runtime.consensus.sessions import Session
from runtime.consensus.store import KeyValue, Revision

BLOCK_ITEMS: Final = 250  # half a millisecond of work
BLOCK_WEIGHT: Final = 1_000  # of leases and sessions: a key or a result weighs one
_READ_WEIGHT: Final = 16  # an item that a result holds: 62 of the largest are 4 MiB
Entry = TypeVar("Entry")


class StateBlock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of the state. All of it but the history: after a restart a watch starts from here.

    A lease or session may be in several pieces, each with other keys or results of it.
    """

    revision: Revision
    items: list[KeyValue] = []
    leases: dict[int, Lease] = {}
    next_lease: int = 0
    sessions: list[tuple[int, Session]] = []  # in their order of use
    next_session: int = 0


def blocks_of(
    first: StateBlock, leases: dict[int, Lease], sessions: Sequence[tuple[int, Session]], items: list[KeyValue]
) -> Iterator[StateBlock]:
    """`first`, then the rest in an order that depends on the state alone, but for that of the items."""
    yield first
    for some in _pieces(_leases(leases)):
        yield StateBlock(revision=first.revision, leases=dict(some))
    for each in _pieces(_sessions(sessions)):
        yield StateBlock(revision=first.revision, sessions=each)
    for at in range(0, len(items), BLOCK_ITEMS):
        yield StateBlock(revision=first.revision, items=items[at : at + BLOCK_ITEMS])


def leases_of(blocks: Iterable[StateBlock]) -> dict[int, Lease]:
    found: dict[int, Lease] = {}
    for block in blocks:
        for number, lease in block.leases.items():
            found.setdefault(number, lease).keys.update(lease.keys)
    return found


def sessions_of(blocks: Iterable[StateBlock]) -> dict[int, Session]:
    found: dict[int, Session] = {}
    for block in blocks:
        for number, session in block.sessions:
            found.setdefault(number, session).results.update(session.results)
    return found


def _leases(leases: dict[int, Lease]) -> Iterator[tuple[tuple[int, Lease], int]]:
    """Two parts of one lease never come into one piece: all but its last one fill a piece."""
    for number, lease in sorted(leases.items()):
        keys = sorted(lease.keys)
        for at in range(0, max(1, len(keys)), BLOCK_WEIGHT):
            some = set(keys[at : at + BLOCK_WEIGHT])
            yield (number, Lease(lease.ttl_ms, lease.left_ms, some, lease.fresh)), 1 + len(some)


def _sessions(sessions: Sequence[tuple[int, Session]]) -> Iterator[tuple[tuple[int, Session], int]]:
    """Result by result: one may hold much of what was read."""
    for number, session in sessions:
        yield (number, Session(session.settled, {})), 1
        for sequence, result in session.results.items():
            yield (number, Session(session.settled, {sequence: result})), 1 + _READ_WEIGHT * _reads(result)


def _reads(result: c.Result) -> int:
    return len(result.txn.gets) if isinstance(result, c.Applied) and result.txn is not None else 0


def _pieces(entries: Iterable[tuple[Entry, int]]) -> Iterator[list[Entry]]:
    """Of entries and their weights: as many as weigh BLOCK_WEIGHT, at least one."""
    piece: list[Entry] = []
    weight = 0
    for entry, more in entries:
        if piece and weight + more > BLOCK_WEIGHT:
            yield piece
            piece, weight = [], 0
        piece.append(entry)
        weight += more
    if piece:
        yield piece
