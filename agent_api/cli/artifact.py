"""`aether artifact upload`; the other verbs come from the catalogue."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.progress import ByteBar
from agent_api.cli.table import show_json
from agent_api.client.answers import body_of, decoded
from agent_api.client.message import HttpRequest
from runtime.errors import RuntimeFault

UPLOAD_TIMEOUT_S: Final = 600.0
PIECE_BYTES: Final = 256 * 1024


class FileUnreadable(RuntimeFault):
    code = "file_unreadable"
    remedy = "Name a wheel that `aether build` made."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upload = actions.add_parser("upload", help="send a wheel to the cluster")
    upload.add_argument("wheel", type=Path, metavar="WHEEL")
    upload.add_argument("--json", action="store_true", help="print the API's answer as JSON")
    add_api_arguments(upload)


def run(arguments: argparse.Namespace) -> int:
    try:
        return _upload(arguments)
    except RuntimeFault as fault:
        return report("artifact upload", fault)


def _upload(arguments: argparse.Namespace) -> int:
    wheel: Path = arguments.wheel
    try:
        with wheel.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = wheel.stat().st_size
    except OSError as error:
        raise FileUnreadable(f"{wheel} cannot be read: {error.strerror}") from error
    request = HttpRequest(
        method="POST",
        path=f"/v1/artifacts?sha256={sha256}",
        body=_pieces(wheel, size_bytes),
        headers={"content-type": "application/octet-stream", "content-length": str(size_bytes)},
        timeout_s=UPLOAD_TIMEOUT_S,
    )
    with client_of(arguments) as client:
        kept = decoded(body_of(client.request(request)), dict[str, object])
    if arguments.json:
        show_json(kept)
    else:
        print(f"kept {kept['name']}=={kept['version']} ({size_bytes} bytes, sha256 {sha256})")
    return 0


def _pieces(wheel: Path, size_bytes: int) -> Iterator[bytes]:
    told, done = ByteBar(), 0
    with wheel.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            done += len(piece)
            told(done, size_bytes)
