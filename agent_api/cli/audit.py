"""`aether audit verify|export`; `audit list` comes from the catalogue."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.table import show_json
from agent_api.client.answers import body_of, decoded
from agent_api.client.message import HttpRequest
from controllers.gate.audit import AuditBroken, read_link, verify
from runtime.errors import RuntimeFault

TIMEOUT_S: Final = 120.0  # sealed segments may have to be fetched from other nodes


class ExportUnusable(RuntimeFault):
    code = "export_unusable"
    remedy = "Name a file that `aether audit export` wrote."


class ExportUnwritable(RuntimeFault):
    code = "export_unwritable"
    remedy = "Name a file in a folder that you may write to, or none for the standard output."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("verify", help="prove that the audit is whole")
    check.add_argument("file", nargs="?", type=Path, metavar="FILE", help="an export (default: the cluster's)")
    check.add_argument("--json", action="store_true")
    export = actions.add_parser("export", help="write the whole audit as JSON lines, oldest first")
    export.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: standard output")
    for action in (check, export):
        add_api_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    """verify exits with 1 where the chain does not hold."""
    try:
        return _verify(arguments) if arguments.action == "verify" else _export(arguments)
    except RuntimeFault as fault:
        return report(f"audit {arguments.action}", fault)


def _verify(arguments: argparse.Namespace) -> int:
    found = _verified_file(arguments.file) if arguments.file else _verified(arguments)
    if arguments.json:
        show_json(found)
    elif found["holds"]:
        print(f"the audit is whole: {found['records']} records, the last with hash {found['hash']}")
    else:
        raise AuditBroken(str(found["broken"]))
    return 0 if found["holds"] else 1


def _verified(arguments: argparse.Namespace) -> dict[str, object]:
    return decoded(_asked(arguments, "/v1/audit/verify"), dict[str, object])


def _asked(arguments: argparse.Namespace, path: str) -> bytes:
    with client_of(arguments) as client:
        request = HttpRequest(method="GET", path=path, timeout_s=TIMEOUT_S, repeatable=True)
        return body_of(client.request(request))


def _verified_file(path: Path) -> dict[str, object]:
    try:
        lines = path.read_bytes().splitlines()
        links = [read_link(line) for line in lines]
    except OSError as error:
        raise ExportUnusable(f"{path} cannot be read: {error.strerror}") from error
    except AuditBroken as error:
        raise ExportUnusable(f"{path} is no export of the audit: {error}") from error
    try:
        last = verify(links)
    except AuditBroken as broken:
        return {"holds": False, "records": len(links), "hash": "", "broken": str(broken)}
    return {"holds": True, "records": last.number, "hash": last.hash, "broken": ""}


def _export(arguments: argparse.Namespace) -> int:
    lines = _asked(arguments, "/v1/audit/export")
    if arguments.file is None:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
        return 0
    try:
        arguments.file.write_bytes(lines)
    except OSError as error:
        raise ExportUnwritable(f"{arguments.file} cannot be written: {error.strerror}") from error
    count = lines.count(b"\n")
    print(f"{arguments.file} holds {count} records; check it: aether audit verify {arguments.file}")
    return 0
