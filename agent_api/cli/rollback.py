"""`aether rollback ID`: undo a change that was proposed and applied."""

from __future__ import annotations

import argparse

from agent_api.cli.change import add_change_arguments, options_of, told
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of an applied proposal: aether proposals --state applied")
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")
    add_change_arguments(parser)
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Its inverse goes past the gate like any change, and may have to be approved as well."""
    try:
        with client_of(arguments) as client:
            return told(client.rollback(arguments.id, options_of({}, arguments)), {}, arguments)
    except RuntimeFault as fault:
        return report("rollback", fault)
