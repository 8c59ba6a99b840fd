"""Commands that come from the catalogue: one for each operation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.grammar import words_of
from agent_api.cli.members import add_members
from agent_api.cli.parser import Parser
from runtime.errors import RuntimeFault
from runtime.operations.operation import AnyOperation, Change


def run_operation(operation: AnyOperation, words: Sequence[str]) -> int:
    arguments = parser_of(operation).parse_args(words)
    try:
        if isinstance(operation, Change):
            from agent_api.cli.change import run_change

            with client_of(arguments) as client:
                return run_change(client, operation, arguments)
        from agent_api.cli.query import run_query

        with client_of(arguments) as client:
            return run_query(client, operation, arguments)
    except RuntimeFault as fault:
        return report(words_of(operation.name), fault)


def parser_of(operation: AnyOperation) -> argparse.ArgumentParser:
    parser = Parser(prog=f"aether {words_of(operation.name)}", description=operation.summary)
    add_members(parser, operation)
    if isinstance(operation, Change):
        from agent_api.cli.change import add_change_arguments

        add_change_arguments(parser, operation)
    else:
        parser.add_argument("--watch", action="store_true", help="ask again and again; Ctrl-C ends")
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")
    add_api_arguments(parser)
    return parser
