"""`aether artifact upload|delete`; listing comes from the catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote

import msgspec

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.progress import ByteBar
from agent_api.cli.table import show_json
from agent_api.client.client import Client
from agent_api.client.errors import RequestInvalid
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upload = actions.add_parser("upload", help="send a wheel to the cluster")
    upload.add_argument("wheel", type=Path, metavar="WHEEL")
    delete = actions.add_parser("delete", help="forget an artifact that no blueprint uses")
    delete.add_argument("coordinate", metavar="NAME==VERSION")
    for action in (upload, delete):
        action.add_argument("--json", action="store_true", help="print the API's answer as JSON")
        add_api_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    action = {"upload": _upload, "delete": _delete}[arguments.action]
    try:
        with client_of(arguments) as client:
            return action(client, arguments)
    except RuntimeFault as fault:
        return report(f"artifact {arguments.action}", fault)


def _upload(client: Client, arguments: argparse.Namespace) -> int:
    kept = client.upload(arguments.wheel, ByteBar())
    if arguments.json:
        show_json(msgspec.to_builtins(kept))
    else:
        size_bytes = arguments.wheel.stat().st_size
        print(f"kept {kept.name}=={kept.version} ({size_bytes} bytes, sha256 {kept.sha256})")
    return 0


def _delete(client: Client, arguments: argparse.Namespace) -> int:
    name, separator, version = arguments.coordinate.partition("==")
    if not separator or not name or not version:
        raise RequestInvalid(f"{arguments.coordinate!r} is not NAME==VERSION")
    path = f"/v1/artifacts/{quote(name, safe='')}/{quote(version, safe='')}"
    gone = client.run(client.talks.document("DELETE", path))
    if arguments.json:
        show_json(gone)
    else:
        print(f"deleted {name}=={version}")
    return 0
