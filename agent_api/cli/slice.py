"""`aether slice list|scale`."""

from __future__ import annotations

import argparse
import json
from typing import cast

from agent_api.cli.api_client import ApiClient
from agent_api.cli.api_commands import Row, add_common, rows_of, show, show_json, with_client

COLUMNS = (
    ("SLICE", "slice"),
    ("VERSION", "version"),
    ("WANTED", "wanted"),
    ("SERVING", "serving"),
    ("FAILED", "failed"),
    ("BLUEPRINT", "blueprint"),
    ("WHY", "reasons"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    add_common(verbs.add_parser("list", help="what is deployed, wanted and serving"))
    scale = verbs.add_parser("scale", help="change how many instances are wanted")
    scale.add_argument("name")
    scale.add_argument("instances", type=int)
    scale.add_argument("--version", default="", help="which version, when several run")
    add_common(scale)


def run(arguments: argparse.Namespace) -> int:
    verb = {"list": _list, "scale": _scale}[arguments.verb]
    return with_client(arguments, "slice", lambda client: verb(client, arguments))


def _list(client: ApiClient, arguments: argparse.Namespace) -> int:
    answer = client.get("/v1/slices")
    if arguments.json:
        show_json(answer)
    else:
        show(rows_of(answer, "slices"), COLUMNS)
    return 0


def _scale(client: ApiClient, arguments: argparse.Namespace) -> int:
    body = json.dumps({"instances": arguments.instances, "version": arguments.version}).encode()
    answer = cast(Row, client.send("PUT", f"/v1/slices/{arguments.name}/scale", body))
    if arguments.json:
        show_json(answer)
    else:
        print(f"{answer['slice']} {answer['version']}: {answer['before']} -> {answer['wanted']} instances wanted")
    return 0
