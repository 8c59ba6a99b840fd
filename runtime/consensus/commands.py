"""What goes into the log: commands and their results, as msgpack."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.consensus.decoding import decoder
from runtime.consensus.store import NO_LEASE, Compare, LeaseId, Operation, Revision, TxnResult


class Txn(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    compare: tuple[Compare, ...]
    then: tuple[Operation, ...]
    otherwise: tuple[Operation, ...] = ()


class Grant(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    ttl_ms: int


class KeepAlive(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    lease: LeaseId


class Revoke(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    lease: LeaseId


class OpenSession(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """A client's first command; its result names the session."""


class Compact(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """History up to and including `revision` may go."""

    revision: Revision


class Tick(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """The leader's clock moved on: the only way that time enters the state."""

    elapsed_ms: int


class Lead(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """A leader's first command: its revision is the fence."""

    node: str


class Check(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Every member computes the digest of its state at this entry. Changes nothing."""

    nonce: str


Command = Txn | Grant | KeepAlive | Revoke | OpenSession | Compact | Tick | Lead | Check


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """`session` and `sequence` make a repeated command answer its first result; session 0 is none: such a command must
    not be repeated. Results of the session below `settled` are no longer needed."""

    command: Command
    session: int = 0
    sequence: int = 0
    settled: int = 0


class Applied(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    txn: TxnResult | None = None
    lease: LeaseId = NO_LEASE
    session: int = 0


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """A refusal is a result like any other: every member computes the same one."""

    code: str
    detail: str


Result = Applied | Failed

_ENCODER: Final = msgspec.msgpack.Encoder()
_decode: Final = decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    return _ENCODER.encode(envelope)


def decode(raw: bytes) -> Envelope:
    """Raises msgspec.DecodeError."""
    return _decode(raw)
