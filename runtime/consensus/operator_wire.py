"""What operators' tools ask of one store process, beside the Store protocol."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.consensus.decoding import decoder
from runtime.consensus.digest import Digest
from runtime.consensus.figures import StoreFigures
from runtime.consensus.store import Revision

PROMOTE_MEMBER: Final = "store/promote-member"
TRANSFER: Final = "store/transfer"
FIGURES: Final = "store/figures"
DIGEST: Final = "store/digest"
SNAPSHOT: Final = "store/snapshot"

CHUNK_BYTES: Final = 256 * 1024


class DigestRequest(msgspec.Struct, frozen=True, array_like=True):
    """Of the state at the `Check` with that nonce."""

    nonce: str


class SnapshotRequest(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot that includes that revision."""

    at_least: Revision


class SnapshotBegins(msgspec.Struct, frozen=True, array_like=True):
    """First item of the stream; the file follows in chunks of CHUNK_BYTES."""

    node: str
    bytes: int


decode_digest_request: Final = decoder(DigestRequest)
decode_snapshot_request: Final = decoder(SnapshotRequest)
decode_snapshot_begins: Final = decoder(SnapshotBegins)
decode_figures: Final = decoder(StoreFigures)
decode_digest: Final = decoder(Digest)
