"""Snapshots: the state at one entry as a checked, compressed file, written in pieces so that nothing waits for it.

The file: magic, then blocks of u32 length, u32 crc32c, zstd(msgpack). The first is the Header, the last the Trailer.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final

import crc32c
import msgspec
import zstandard

from runtime.consensus.decoding import decoder
from runtime.consensus.errors import StoreDamaged
from runtime.consensus.raft.disk import Disk
from runtime.consensus.raft.membership import Members
from runtime.consensus.state_blocks import StateBlock

MAGIC: Final = b"AETHERS1"
NAME: Final = "snapshot"
OWN: Final = "snapshot.own"  # being written
INSTALLING: Final = "snapshot.installing"  # being received
_BLOCK: Final = struct.Struct(">II")
BLOCK_BYTES_MAX: Final = 64 * 1024 * 1024
FORMAT: Final = 2
_FORMATS: Final = (1, FORMAT)  # 1: all leases and sessions in one block, which is read alike
_LEVEL: Final = 1  # a quarter of the size at a tenth of the time that level 9 takes


class SnapshotDamaged(StoreDamaged):
    """The file is not what was written, or not of this cluster. The member must not start from it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`index` and `term` are those of the last entry that the state includes."""

    format: int = FORMAT
    cluster: str
    index: int
    term: int
    members: Members


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is the SHA-256 of all blocks before it."""

    blocks: int
    digest: str


_header: Final = decoder(Header)
_trailer: Final = decoder(Trailer)
_state: Final = decoder(StateBlock)


class SnapshotWriter:
    """Writes one snapshot, a block a step."""

    def __init__(self, disk: Disk, header: Header, blocks: Iterator[StateBlock], *, name: str = OWN) -> None:
        self.header = header
        self._disk = disk
        self._name = name
        self._blocks = blocks
        self._digest = hashlib.sha256()
        self._count = 0
        self.bytes = len(MAGIC)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        disk.remove(name)
        disk.append(name, MAGIC)
        self._write(msgspec.msgpack.encode(header))

    def step(self) -> bool:
        """Writes the next block; False once all are written."""
        block = next(self._blocks, None)
        if block is not None:
            self._write(msgspec.msgpack.encode(block))
            return True
        trailer = Trailer(blocks=self._count, digest=self._digest.hexdigest())
        self._write(msgspec.msgpack.encode(trailer))
        return False

    def _write(self, plain: bytes) -> None:
        packed = self._compressor.compress(plain)
        self._digest.update(packed)
        self._count += 1
        self.bytes += _BLOCK.size + len(packed)
        self._disk.append(self._name, _BLOCK.pack(len(packed), crc32c.crc32c(packed)) + packed)


def read_snapshot(raw: bytes, *, cluster: str) -> tuple[Header, list[StateBlock]]:
    """All of a snapshot of that cluster, checked. Raises SnapshotDamaged."""
    header, blocks = read_any_snapshot(raw)
    if header.cluster != cluster:
        raise SnapshotDamaged(f"the snapshot is of cluster {header.cluster}, not of {cluster}")
    return header, blocks


def read_any_snapshot(raw: bytes) -> tuple[Header, list[StateBlock]]:
    """All of a snapshot, checked, whosever it is. Raises SnapshotDamaged."""
    if raw[: len(MAGIC)] != MAGIC:
        raise SnapshotDamaged("the snapshot does not begin as one")
    try:
        packed = list(_packed_blocks(raw))
        plain = [_plain(block) for block in packed]
        header = _header(plain[0])
        if header.format not in _FORMATS:
            raise SnapshotDamaged(f"the snapshot has format {header.format}; this release reads up to {FORMAT}")
        trailer = _trailer(plain[-1])
        blocks = [_state(block) for block in plain[1:-1]]
    except (msgspec.DecodeError, zstandard.ZstdError, IndexError) as error:
        raise SnapshotDamaged(f"the snapshot cannot be read: {error}") from error
    digest = hashlib.sha256()
    for block in packed[:-1]:
        digest.update(block)
    if trailer.blocks != len(packed) - 1 or trailer.digest != digest.hexdigest():
        raise SnapshotDamaged("the snapshot is not whole: its digest is another")
    return header, blocks


def _packed_blocks(raw: bytes) -> Iterator[bytes]:
    at = len(MAGIC)
    while at < len(raw):
        if at + _BLOCK.size > len(raw):
            raise SnapshotDamaged(f"the snapshot is cut short at byte {at}")
        length, crc = _BLOCK.unpack_from(raw, at)
        at += _BLOCK.size
        packed = raw[at : at + length]
        if len(packed) < length or crc32c.crc32c(packed) != crc:
            raise SnapshotDamaged(f"the snapshot is damaged at byte {at}")
        at += length
        yield packed


def _plain(packed: bytes) -> bytes:
    """Never more than a block may hold: zstandard would believe the block's own head."""
    size = zstandard.get_frame_parameters(packed).content_size
    if size > BLOCK_BYTES_MAX:
        raise SnapshotDamaged(
            f"a block of the snapshot says that it holds {size} bytes; the limit is {BLOCK_BYTES_MAX}"
        )
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=BLOCK_BYTES_MAX)
