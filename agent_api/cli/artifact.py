"""`aether artifact`: upload, list and delete artifacts."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent_api.cli.api_client import ApiClient, add_api_arguments, client_for
from agent_api.cli.failure import report
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
    listing = actions.add_parser("list", help="what the cluster keeps")
    listing.add_argument("--json", action="store_true")
    delete = actions.add_parser("delete", help="forget an artifact that nothing runs")
    delete.add_argument("coordinate", metavar="NAME==VERSION")
    for action in (upload, listing, delete):
        add_api_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    try:
        api = client_for(arguments.data, arguments.api)
        match arguments.action:
            case "upload":
                return _upload(api, arguments.wheel)
            case "delete":
                return _delete(api, arguments.coordinate)
            case _:
                return _list(api, as_json=arguments.json)
    except RuntimeFault as fault:
        return report(f"artifact {arguments.action}", fault)


def _upload(api: ApiClient, wheel: Path) -> int:
    try:
        with wheel.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = wheel.stat().st_size
    except OSError as error:
        raise FileUnreadable(f"{wheel} cannot be read: {error.strerror}") from error
    kept = api.send(
        "POST",
        f"/v1/artifacts?sha256={sha256}",
        _pieces(wheel),
        content_type="application/octet-stream",
        content_length=size_bytes,
        timeout_s=UPLOAD_TIMEOUT_S,
    )
    assert isinstance(kept, dict)
    print(f"kept {kept['name']}=={kept['version']} ({size_bytes} bytes, sha256 {sha256})")
    return 0


def _pieces(wheel: Path) -> Iterator[bytes]:
    with wheel.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _list(api: ApiClient, *, as_json: bool) -> int:
    answer = api.get("/v1/artifacts")
    rows = answer.get("artifacts", []) if isinstance(answer, dict) else answer
    assert isinstance(rows, list)
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        slices = ", ".join(row.get("slices", []))
        print(f"{row['name']}=={row['version']}  {row['size_bytes']:>10} bytes  {row['sha256'][:12]}…  {slices}")
    if not rows:
        print("no artifacts; upload one: aether artifact upload WHEEL")
    return 0


def _delete(api: ApiClient, coordinate: str) -> int:
    name, _, version = coordinate.partition("==")
    api.send("DELETE", f"/v1/artifacts/{name}/{version}")
    print(f"deleted {coordinate}")
    return 0
