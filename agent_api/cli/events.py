"""`aether events`: what happened in the cluster."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Final, cast

from agent_api.cli.api_client import ApiClient
from agent_api.cli.api_commands import Row, add_common, rows_of, show_json, with_client

FOLLOW_S: Final = 0.5
SHOWN_FIRST: Final = ("id", "event")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--after", default="", help="an event's id: only later ones")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--follow", action="store_true", help="go on as events happen; Ctrl-C ends")
    add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    return with_client(arguments, "events", lambda client: _events(client, arguments))


def _events(client: ApiClient, arguments: argparse.Namespace) -> int:
    after = arguments.after
    while True:
        answer = client.get(f"/v1/events?after={after}&limit={arguments.limit}")
        if arguments.json and not arguments.follow:
            show_json(answer)
            return 0
        if cast(Row, answer).get("complete") is False:
            print(f"aether: events behind {after} are gone; see `aether status` for what is now", file=sys.stderr)
        for event in rows_of(answer, "events"):
            after = str(event["id"])
            print(json.dumps(event) if arguments.json else _line(event), flush=True)
        if not arguments.follow:
            return 0
        time.sleep(FOLLOW_S)


def _line(event: Row) -> str:
    data = cast(Row, event.get("data", {}))
    details = " ".join(f"{key}={value}" for key, value in data.items())
    return f"{event['id']:>10}  {event['event']:<22} {details}"
