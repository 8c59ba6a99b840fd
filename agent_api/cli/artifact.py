"""`aether artifact upload|delete`; listing comes from the catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent_api.cli.change import add_change_arguments, carry_out, carry_out_by
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.progress import ByteBar
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
        add_change_arguments(action)
        add_api_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    action = {"upload": _upload, "delete": _delete}[arguments.action]
    try:
        with client_of(arguments) as client:
            return action(client, arguments)
    except RuntimeFault as fault:
        return report(f"artifact {arguments.action}", fault)


def _upload(client: Client, arguments: argparse.Namespace) -> int:
    bar = ByteBar(shown=not arguments.json)
    return carry_out_by(lambda options: client.upload(arguments.wheel, options, bar), {}, arguments, may_repeat=False)


def _delete(client: Client, arguments: argparse.Namespace) -> int:
    name, separator, version = arguments.coordinate.partition("==")
    if not separator or not name or not version:
        raise RequestInvalid(f"{arguments.coordinate!r} is not NAME==VERSION")
    members: dict[str, object] = {"name": name, "version": version}
    return carry_out(client, client.talks.catalogue.change("artifact.delete"), members, arguments)
