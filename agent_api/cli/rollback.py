"""`aether rollback ID`: undo a change that was made, at once or after an approval."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import cast

import msgspec

from agent_api.cli.change import Outcome, add_change_arguments, carry_out_by
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.table import Row
from agent_api.cli.why import NothingKnown, records_of
from agent_api.client.client import Client
from agent_api.client.errors import ApiRefused
from agent_api.client.requests import ChangeOptions
from runtime.errors import RuntimeFault
from runtime.operations.plan import Call


class NothingToUndo(RuntimeFault):
    code = "nothing_to_undo"
    remedy = "Make the change that you want instead; `aether why ID` tells what this one was."


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
    """By the proposal of that id; if there is none, by the inverse that the audit keeps."""
    try:
        return client.rollback(identity, options)
    except ApiRefused as refused:
        if refused.status != 404:
            raise
    inverse = _inverse(records_of(client, identity))
    reason = options.reason or f"undoes {identity}"
    return client.submit(inverse.operation, inverse.request, dataclasses.replace(options, reason=reason))


def _inverse(records: Sequence[Row]) -> Call:
    if not records:
        raise NothingKnown("there is no such proposal, and no such record in the audit")
    record = cast(Row, records[0]["record"])
    inverse = cast(Row, record.get("detail", {})).get("inverse")
    if inverse is None:
        raise NothingToUndo(f"{record.get('summary') or record['kind']}: the audit keeps nothing that would undo it")
    return msgspec.convert(inverse, Call)
