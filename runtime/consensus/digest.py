"""A fingerprint of the whole state at one entry of the log, computed beside the work on every member."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.consensus.store import KeyValue, Revision

if TYPE_CHECKING:
    from runtime.consensus.state_blocks import StateBlock

_MODULUS: Final = 1 << 256


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """`nonce` names the check that asked; members that applied the same log have the same `state`."""

    nonce: str
    revision: Revision
    keys: int
    state: str


class Digesting:
    """Of a picture that `Machine.snapshot` gave. Keys are summed up, so that their order in memory does not matter."""

    def __init__(self, nonce: str, revision: Revision, blocks: Iterator[StateBlock]) -> None:
        self._nonce = nonce
        self._revision = revision
        self._blocks = blocks
        self._rest = ""
        self._sum = self._keys = 0

    def step(self) -> Digest | None:
        """One block more, about a millisecond of work; the digest once all are seen."""
        block = next(self._blocks, None)
        if block is None:
            whole = f"{self._revision} {self._keys} {self._sum:x} {self._rest}"
            return Digest(
                nonce=self._nonce,
                revision=self._revision,
                keys=self._keys,
                state=hashlib.sha256(whole.encode()).hexdigest(),
            )
        if not block.items:
            self._rest = _rest_of(self._rest, block)
        self._keys += len(block.items)
        self._sum = (self._sum + sum(map(_hash_of, block.items))) % _MODULUS
        return None


def _hash_of(item: KeyValue) -> int:
    return int.from_bytes(hashlib.sha256(msgspec.msgpack.encode(item)).digest(), "big")


def _rest_of(before: str, block: StateBlock) -> str:
    """Of what came before, leases, which are sorted, and sessions, whose order of use is part of the state."""
    leases = [
        (number, each.ttl_ms, each.left_ms, each.fresh, sorted(each.keys))
        for number, each in sorted(block.leases.items())
    ]
    rest = (before, leases, block.next_lease, block.sessions, block.next_session)
    return hashlib.sha256(msgspec.msgpack.encode(rest)).hexdigest()
