"""`aether events`: what happened in the cluster, and what happens."""

from __future__ import annotations

import argparse
import json
import sys
from typing import cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.paint import one_line
from agent_api.cli.query import answered
from agent_api.cli.table import Row, cell, show_json
from agent_api.client.client import Client
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--after", default="", metavar="ID", help="an event's id: only later ones")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="most events that are told at first")
    parser.add_argument("--follow", action="store_true", help="go on as events happen; Ctrl-C ends")
    parser.add_argument("--json", action="store_true", help="print JSON; one event a line with --follow")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        with client_of(arguments) as client:
            return _events(client, arguments)
    except RuntimeFault as fault:
        return report("events", fault)


def _events(client: Client, arguments: argparse.Namespace) -> int:
    members = {"after": arguments.after, "limit": arguments.limit} if arguments.after else {"limit": arguments.limit}
    answer = answered(client, client.talks.query("event.list"), members)
    if arguments.json and not arguments.follow:
        show_json(answer)
        return 0
    if answer.get("complete") is False:
        _gone(arguments.after)
    rows = cast(list[Row], answer["events"])
    for row in rows:
        _show(row, as_json=arguments.json)
    if arguments.follow:
        _follow(client, str(rows[-1]["id"]) if rows else arguments.after, as_json=arguments.json)
    return 0


def _follow(client: Client, after: str, *, as_json: bool) -> None:
    for event in client.events(after=after):
        if event.name == "reset":
            _gone(after)
        elif isinstance(event.data, dict):
            _show(event.data, as_json=as_json)
        after = event.id


def _gone(after: str) -> None:
    print(f"aether: events behind {after or 'the first'} are gone; `aether status` says what is now", file=sys.stderr)


def _show(event: Row, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
    else:
        name = one_line(str(event["event"]))
        print(f"{event['id']:>10}  {name:<22} {cell(event.get('data', {}))}", flush=True)
