"""What members say to each other, as msgpack behind one byte of protocol version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from runtime.consensus.decoding import decoder
from runtime.consensus.raft.core import EntryT
from runtime.consensus.raft.protocol import PROTOCOL


class MessageUnreadable(Exception):
    """Not one of ours, or of another version: it is dropped, and said once."""


class Append(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Entries behind (`prev_index`, `prev_term`); without entries a heartbeat."""

    term: int
    prev_index: int
    prev_term: int
    entries: list[EntryT]
    commit_index: int


class Appended(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """`ok`: everything up to `index` agrees and is on disk. Else: the leader may go on from `index`."""

    term: int
    ok: bool
    index: int


class Install(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """A piece of the snapshot that ends with entry `index`."""

    term: int
    index: int
    offset: int
    data: bytes
    last: bool


class Installing(msgspec.Struct, frozen=True, array_like=True, tag="j"):
    """`offset` is where the next piece of that snapshot has to begin."""

    term: int
    index: int
    offset: int


class PreVote(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Would you vote for me in `term`?"""

    term: int
    last_index: int
    last_term: int


class PreVoted(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    term: int


class RequestVote(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """`transfer`: the leader itself asked for this election."""

    term: int
    last_index: int
    last_term: int
    transfer: bool = False


class Voted(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    term: int
    granted: bool


class Contacts(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """To a member that hears no leader although there is one: whom it may not know yet. Node id → address."""

    members: dict[str, str]


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """From the leader: begin an election at once."""

    term: int


class Probe(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Am I still your leader?"""

    term: int
    round: int


class Confirmed(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    term: int
    round: int


Message = (
    Append
    | Appended
    | Install
    | Installing
    | PreVote
    | PreVoted
    | RequestVote
    | Voted
    | Contacts
    | TimeoutNow
    | Probe
    | Confirmed
)

_VERSION: Final = bytes((PROTOCOL,))
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final[Callable[[memoryview], Message]] = decoder(Message)  # type: ignore[arg-type]  # a union is no type


def encode(message: Message) -> bytes:
    return _VERSION + _encode(message)


def decode(raw: bytes) -> Message:
    """Raises MessageUnreadable."""
    if raw[:1] != _VERSION:
        found = raw[0] if raw else None
        raise MessageUnreadable(f"it speaks raft protocol {found}, this member speaks {PROTOCOL}")
    try:
        return _decode(memoryview(raw)[1:])
    except msgspec.DecodeError as error:
        raise MessageUnreadable(f"a message cannot be read: {error}") from None
