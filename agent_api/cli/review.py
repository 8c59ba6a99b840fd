"""`aether review list|close`: what went past an approval is looked at afterwards, by another person."""

from __future__ import annotations

import argparse
from typing import Final, cast
from urllib.parse import quote

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.proposal_view import chain_of
from agent_api.cli.table import Row, show_json, show_rows
from agent_api.client.client import Client
from runtime.errors import RuntimeFault

COLUMNS: Final = ("id", "kind", "opened_unix_ms", "by", "subject", "summary", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="reviews that are open")
    close = actions.add_parser("close", help="close one with what was found")
    close.add_argument("id", metavar="ID", help="of the review, which is that of its audit record")
    close.add_argument("--reason", required=True, metavar="TEXT", help="what was found; kept in the audit")
    for action in (listing, close):
        action.add_argument("--json", action="store_true", help="print the API's answer as JSON")
        add_api_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    action = {"list": _list, "close": _close}[arguments.action]
    try:
        with client_of(arguments) as client:
            return action(client, arguments)
    except RuntimeFault as fault:
        return report(f"review {arguments.action}", fault)


def _list(client: Client, arguments: argparse.Namespace) -> int:
    answer = client.perform(client.talks.document("GET", "/v1/reviews"))
    if arguments.json:
        show_json(answer)
    else:
        rows = cast(list[Row], answer["items"])
        show_rows([{**row, "by": chain_of(cast(Row, row["actor"]))} for row in rows], COLUMNS)
    return 0


def _close(client: Client, arguments: argparse.Namespace) -> int:
    path = f"/v1/reviews/{quote(arguments.id, safe='')}/close"
    answer = client.perform(client.talks.document("POST", path, {"reason": arguments.reason}))
    if arguments.json:
        show_json(answer)
    else:
        print(f"review {arguments.id} is closed")
    return 0
