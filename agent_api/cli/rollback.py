"""`aether rollback ID`: undo a change that was made, at once or after an approval."""

from __future__ import annotations

import argparse

from agent_api.cli.change import Outcome, add_change_arguments, carry_out_by
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.client.client import Client
from agent_api.client.errors import ApiRefused
from agent_api.client.requests import ChangeOptions
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of an applied proposal, or of a change's audit record")
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")
    add_change_arguments(parser)
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Its inverse goes past the gate like any change, and may have to be approved as well."""
    try:
        with client_of(arguments) as client:
            return carry_out_by(lambda options: _undone(client, arguments.id, options), {}, arguments)
    except RuntimeFault as fault:
        return report("rollback", fault)


def _undone(client: Client, identity: str, options: ChangeOptions) -> Outcome:
    """By the proposal of that id; if there is none, by the audit record."""
    try:
        return client.rollback(identity, options)
    except ApiRefused as refused:
        if refused.status != 404:
            raise
    return client.undo(identity, options)
