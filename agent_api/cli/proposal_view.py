"""Proposals and audit records for people."""

from __future__ import annotations

import shlex
from typing import cast

from agent_api.cli.grammar import words_of
from agent_api.cli.paint import one_line, painted
from agent_api.cli.plan_view import show_diff
from agent_api.cli.table import Row, cell, moment, show_rows
from runtime.operations.dispatch import Proposed
from runtime.operations.plan import Call

COLOURS = {"applied": "green", "pending": "yellow", "approved": "yellow"}


def show_pending(proposed: Proposed) -> None:
    """What was proposed just now, and who can do what about it."""
    print(f"{painted('proposed', 'yellow')}  {one_line(proposed.summary)}")
    waits = f"{proposed.approvers}, until {moment(proposed.expires_unix_ms)} ({proposed.rule})"
    print(f"  waits for {one_line(waits)}")
    print(f"  look:    {painted(f'aether why {proposed.proposal}', 'dim')}")
    print(f"  decide:  {painted(f'aether approve {proposed.proposal}', 'dim')} or reject; you may withdraw it")


def show_proposal(answer: Row) -> None:
    """answer: with a Proposal as plain data."""
    proposal = cast(Row, answer["proposal"])
    state = str(proposal["state"])
    print(f"{painted(state, COLOURS.get(state, 'red'))}  {painted(one_line(str(proposal['summary'])), 'bold')}")
    call = cast(Row, proposal["call"])
    rows = {
        "proposal": proposal["id"],
        "operation": call["operation"],
        "by": chain_of(cast(Row, proposal["actor"])),
        "at": moment(cast(int, proposal["created_unix_ms"])),
        "reason": proposal.get("reason", ""),
        "evidence": cell(proposal.get("evidence", [])),
        "rule": proposal["rule"],
        "needs": needs_of(cast(Row, proposal["needs"])),
        "expires": moment(cast(int, proposal["expires_unix_ms"])) if state in ("pending", "approved") else "",
        "ended": proposal.get("ended", ""),
        "undo": f"aether rollback {proposal['id']}" if state == "applied" and proposal.get("inverse") else "",
    }
    _lines(rows)
    _show_votes(cast(list[Row], proposal.get("votes", [])))
    print("\nwhat changes" if state != "applied" else "\nwhat changed")
    show_diff(cast(list[Row], proposal.get("diff", [])))
    if not proposal.get("diff_is_whole", True):
        print(painted(f"  shortened; all of it: aether proposal diff {proposal['id']}", "yellow"))
    if since := cast(list[Row], proposal.get("changed_since", [])):
        print("\nwhat the same request would change now")
        show_diff(since)


def show_record(chained: Row) -> None:
    """One record of the audit, with its place in the chain."""
    record = cast(Row, chained["record"])
    print(f"{painted(str(record['kind']), 'bold')}  {one_line(str(record.get('summary', '')))}")
    rows = {
        "record": f"{record['id']} (number {chained['number']}, revision {chained['revision']})",
        "operation": record.get("operation", ""),
        "subject": record.get("subject", ""),
        "by": chain_of(cast(Row, record["actor"])),
        "at": moment(cast(int, record["at_unix_ms"])),
        "reason": record.get("reason", ""),
        "rule": record.get("rule", ""),
        "request": cell(record.get("request", {})),
        "detail": cell(record.get("detail", {})),
        "proposal": record.get("proposal", ""),
        "trace": record.get("trace_id", ""),
    }
    _lines(rows)


def show_audit(answer: Row) -> None:
    """The table of audit.list."""
    show_rows([row_of(each) for each in cast(list[Row], answer["items"])])


def row_of(chained: Row) -> Row:
    record = cast(Row, chained["record"])
    return {
        "number": chained["number"],
        "at_unix_ms": record["at_unix_ms"],
        "kind": record["kind"],
        "by": chain_of(cast(Row, record["actor"])),
        "operation": record.get("operation", ""),
        "subject": record.get("subject", ""),
        "summary": record.get("summary", ""),
        "reason": record.get("reason", ""),
        "proposal": record.get("proposal", ""),
        "id": record["id"],
    }


def chain_of(actor: Row) -> str:
    """Who acted, and for whom."""
    words = str(actor["id"])
    behind = actor.get("behind")
    return f"{words}, for {chain_of(cast(Row, behind))}" if behind else words


def needs_of(needs: Row) -> str:
    people = cast(int, needs.get("approvers", 0))
    owner = ", one of them owner or admin" if needs.get("owner") else ""
    return f"{people} approver{'s' if people > 1 else ''} of role {needs.get('role', '')} or higher{owner}"


def command_of(call: Call) -> str:
    """The command line that carries out a call, with members as options: plain to read and to paste."""
    from agent_api.catalogue import make_catalogue
    from agent_api.cli.members import members_of, texts_of

    words = ["aether", *words_of(call.operation).split()]
    for member in members_of(make_catalogue().find(call.operation)):
        texts = texts_of(member, call.request.get(member.name))
        if member.is_flag:
            words += [f"--{member.word}"] if texts else []
        elif member.positional:
            words += texts
        else:
            words += [word for text in texts for word in (f"--{member.word}", text)]
    return shlex.join(words)


def _show_votes(votes: list[Row]) -> None:
    for vote in votes:
        said = painted("for", "green") if vote["approve"] else painted("against", "red")
        reason = f": {vote['reason']}" if vote.get("reason") else ""
        print(f"  vote       {said}, {one_line(chain_of(cast(Row, vote['voter'])) + reason)}")


def _lines(rows: Row) -> None:
    for name, value in rows.items():
        if value:
            print(f"  {painted(name.ljust(9), 'dim')}  {one_line(str(value))}")
