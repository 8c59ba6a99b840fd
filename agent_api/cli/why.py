"""`aether why ID`: a proposal or an audit record, and everything that the audit says about it."""

from __future__ import annotations

import argparse
from typing import Final, cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.proposal_view import row_of, show_proposal, show_record
from agent_api.cli.query import answered
from agent_api.cli.table import Row, show_json, show_rows
from agent_api.client.client import Client
from agent_api.client.errors import ApiRefused
from runtime.errors import RuntimeFault

HISTORY: Final = ("at_unix_ms", "kind", "by", "reason", "id")


class NothingKnown(RuntimeFault):
    code = "nothing_known"
    remedy = "List what there is: aether proposals, aether audit list; records of long ago: aether audit export."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of a proposal or of an audit record")
    parser.add_argument("--json", action="store_true", help="print proposal and records as JSON")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        with client_of(arguments) as client:
            return _tell(client, arguments.id, as_json=arguments.json)
    except RuntimeFault as fault:
        return report("why", fault)


def _tell(client: Client, identity: str, *, as_json: bool) -> int:
    proposal = _proposal(client, identity)
    records = records_of(client, identity, str(proposal["subject"]) if proposal else "")
    if not proposal and not records:
        raise NothingKnown(f"no proposal and no record of the audit is called {identity[:80]!r}")
    if as_json:
        show_json({"proposal": proposal or None, "records": records})
    elif proposal:
        show_proposal({"proposal": proposal})
        print("\nin the audit")
        show_rows([row_of(each) for each in reversed(records)], HISTORY)
    else:
        show_record(records[0])
    return 0


def _proposal(client: Client, identity: str) -> Row:
    """Empty when there is none of that id."""
    try:
        found = answered(client, client.talks.query("proposal.show"), {"id": identity})
    except ApiRefused as refused:
        if refused.status != 404:
            raise
        return {}
    return cast(Row, found["proposal"])


def records_of(client: Client, identity: str, subject: str = "") -> list[Row]:
    """Those of that id, or about the proposal of that id; newest first."""
    members: dict[str, object] = {"subject": subject} if subject else {}
    items = cast(list[Row], answered(client, client.talks.query("audit.list"), members)["items"])
    return [each for each in items if identity in (_record(each)["id"], _record(each).get("proposal"))]


def _record(chained: Row) -> Row:
    return cast(Row, chained["record"])
