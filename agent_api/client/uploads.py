"""Sending a wheel to the cluster: read piece by piece, and checked there against the hash that is made here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from agent_api.client.errors import ClientFault
from agent_api.client.message import HttpRequest

UPLOAD_TIMEOUT_S: Final = 600.0
PIECE_BYTES: Final = 256 * 1024

Told = Callable[[int, int], None]
"""Is called with bytes sent, and bytes of all."""


class FileUnreadable(ClientFault):
    code = "file_unreadable"
    remedy = "Name a wheel that `aether build` made."


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster keeps now. `slices` are names with versions."""

    name: str
    version: str
    sha256: str
    slices: tuple[str, ...]


def upload_request(wheel: Path, told: Told = lambda done, total: None) -> HttpRequest:
    """Raises FileUnreadable. It is sent once: a repetition would find the artifact there already."""
    try:
        with wheel.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = wheel.stat().st_size
    except OSError as error:
        raise FileUnreadable(f"{wheel} cannot be read: {error.strerror}") from error
    return HttpRequest(
        method="POST",
        path=f"/v1/artifacts?sha256={sha256}",
        body=_pieces(wheel, size_bytes, told),
        headers={"content-type": "application/octet-stream", "content-length": str(size_bytes)},
        timeout_s=UPLOAD_TIMEOUT_S,
    )


def _pieces(wheel: Path, size_bytes: int, told: Told) -> Iterator[bytes]:
    done = 0
    with wheel.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            done += len(piece)
            told(done, size_bytes)
