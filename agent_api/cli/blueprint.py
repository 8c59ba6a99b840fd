"""`aether blueprint apply|validate|list|delete`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final, cast

from agent_api.cli.api_client import ApiClient
from agent_api.cli.api_commands import Row, add_common, rows_of, show, show_json, with_client
from runtime.deployment.blueprint import parse

TOML: Final = "application/toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("apply", "make the cluster as the file says"), ("validate", "check the file, change nothing")):
        each = verbs.add_parser(verb, help=text)
        each.add_argument("file", type=Path)
        add_common(each)
    add_common(verbs.add_parser("list", help="what is applied"))
    delete = verbs.add_parser("delete", help="stop all that the blueprint deploys")
    delete.add_argument("id")
    add_common(delete)


def run(arguments: argparse.Namespace) -> int:
    verb = {"apply": _apply, "validate": _apply, "list": _list, "delete": _delete}[arguments.verb]
    return with_client(arguments, "blueprint", lambda client: verb(client, arguments))


def _apply(client: ApiClient, arguments: argparse.Namespace) -> int:
    try:
        raw = arguments.file.read_bytes()
    except OSError as error:
        print(f"aether blueprint: cannot read {arguments.file}: {error.strerror}", file=sys.stderr)
        return 1
    record = parse(raw)
    dry = "?dry_run=true" if arguments.verb == "validate" else ""
    answer = cast(Row, client.send("PUT", f"/v1/blueprints/{record.blueprint}{dry}", raw, content_type=TOML))
    if arguments.json:
        show_json(answer)
    elif dry:
        print(f"{arguments.file} is valid")
    else:
        routes = cast(list[str], answer["routes"])
        print(f"blueprint {record.blueprint} applied: {len(record.slices)} slices, {len(routes)} routes")
        for route in routes:
            print(f"  {route}")
    return 0


def _list(client: ApiClient, arguments: argparse.Namespace) -> int:
    answer = client.get("/v1/blueprints")
    if arguments.json:
        show_json(answer)
        return 0
    rows = rows_of(answer, "blueprints")
    for row in rows:
        row["names"] = [f"{each['slice']} {each['version']}" for each in cast(list[Row], row["slices"])]
    show(rows, (("BLUEPRINT", "blueprint"), ("SLICES", "names")))
    return 0


def _delete(client: ApiClient, arguments: argparse.Namespace) -> int:
    answer = client.send("DELETE", f"/v1/blueprints/{arguments.id}")
    if arguments.json:
        show_json(answer)
    else:
        print(f"blueprint {arguments.id} deleted; its instances are being stopped")
    return 0
