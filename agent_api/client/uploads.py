"""Sending a file to the cluster: read piece by piece, and checked there against the hash that is made here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Final

from agent_api.client.errors import ClientFault
from agent_api.client.message import HttpRequest
from agent_api.client.requests import ChangeOptions, submission

ARTIFACT: Final = "artifact.upload"
MODEL: Final = "ttm.upload"
UPLOADS: Final = {ARTIFACT: "/v1/artifacts", MODEL: "/v1/ttm/models"}
"""The operations whose request is no JSON, and where they go: the body is a wheel, or a model with its card."""
UPLOAD_TIMEOUT_S: Final = 600.0
PIECE_BYTES: Final = 256 * 1024

Told = Callable[[int, int], None]
"""Is called with bytes sent, and bytes of all."""


class FileUnreadable(ClientFault):
    code = "file_unreadable"
    remedy = "Name a wheel that `aether build` made."


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel's bytes: each walk over it begins anew, so that it may be sent again."""

    path: Path
    sha256: str
    size_bytes: int
    told: Told = lambda done, total: None

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        with self.path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
                done += len(piece)
                self.told(done, self.size_bytes)


def read_wheel(path: Path, told: Told = lambda done, total: None) -> Wheel:
    """Raises FileUnreadable."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Wheel(path, sha256, path.stat().st_size, told)
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror}") from error


def upload_request(wheel: Wheel, options: ChangeOptions, *, wait_s: float) -> HttpRequest:
    return _request(UPLOADS[ARTIFACT], wheel, options, wait_s)


def model_request(wheel: Wheel, options: ChangeOptions, *, wait_s: float) -> HttpRequest:
    return _request(UPLOADS[MODEL], wheel, options, wait_s)


def _request(path: str, wheel: Wheel, options: ChangeOptions, wait_s: float) -> HttpRequest:
    request = submission("POST", f"{path}?sha256={wheel.sha256}", {}, options, wait_s=wait_s)
    about = {"content-type": "application/octet-stream", "content-length": str(wheel.size_bytes)}
    return replaced(request, body=wheel, headers={**request.headers, **about}, timeout_s=UPLOAD_TIMEOUT_S + wait_s)
