"""`aether why ID`: a proposal, an audit record or a decision, and what is known of it; of a slice, its decisions."""

from __future__ import annotations

import argparse
from typing import Final, cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.decision_view import show_decision, show_decisions, show_node_decision
from agent_api.cli.failure import report
from agent_api.cli.proposal_view import row_of, show_proposal, show_record
from agent_api.cli.query import answered
from agent_api.cli.table import Row, show_json, show_rows
from agent_api.client.client import Client
from agent_api.client.errors import ApiRefused, RequestInvalid
from runtime.errors import RuntimeFault

HISTORY: Final = ("at_unix_ms", "kind", "by", "reason", "id")


class NothingKnown(RuntimeFault):
    code = "nothing_known"
    remedy = "List what there is: aether proposals, audit list, controller decisions; of long ago: aether audit export."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of a proposal, a record of the audit, a decision, or a slice")
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
    is_decision = bool(records) and str(_record(records[0])["kind"]) == "decision"
    decisions = _decisions(client, identity) if is_decision or not (proposal or records) else []
    if decisions:
        _tell_decisions(decisions, identity, as_json=as_json)
        return 0
    if not proposal and not records:
        raise NothingKnown(f"no proposal, no record of the audit and no decision is called {identity[:80]!r}")
    if as_json:
        show_json({"proposal": proposal or None, "records": records})
    elif proposal:
        show_proposal({"proposal": proposal})
        print("\nin the audit")
        show_rows([row_of(each) for each in reversed(records)], HISTORY)
    else:
        show_record(records[0])
    return 0


def _tell_decisions(decisions: list[Row], identity: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"decisions": decisions})
    elif str(decisions[0]["id"]) == identity:
        show = show_decision if "slice" in decisions[0] else show_node_decision
        show(decisions[0])
    else:
        show_decisions(decisions)


def _decisions(client: Client, identity: str) -> list[Row]:
    """The one of that id, or those about the slice of that name: ids begin with a digit, and slices do not."""
    member = "slice" if identity[:1].isalpha() else "id"
    try:
        found = answered(client, client.talks.query("controller.decisions"), {member: identity})
    except (ApiRefused, RequestInvalid):
        return []  # it can be neither
    known = (*cast(list[Row], found["items"]), *cast(list[Row], found.get("nodes", [])))
    return [each for each in known if each.get(member) == identity]


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
