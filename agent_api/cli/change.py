"""Changes of the catalogue as commands: dry runs as coloured diffs, proposals, waiting until a change took hold."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from agent_api.cli.main import DONE, FAILED, NOT_CONVERGED, PROPOSED
from agent_api.cli.members import as_request, members_of, read_members
from agent_api.cli.paint import one_line, painted
from agent_api.cli.parser import waiting_seconds
from agent_api.cli.plan_view import show_plan
from agent_api.cli.progress import StatusLine
from agent_api.cli.proposal_view import command_of, show_pending, show_proposal
from agent_api.cli.table import Row, show_json, show_members
from agent_api.client.answers import AppliedChange, ShownProposal
from agent_api.client.client import Client, PendingChange
from agent_api.client.errors import WaitedInVain
from agent_api.client.requests import ChangeOptions, new_key
from controllers.gate.proposals import ProposalState
from runtime.operations.dispatch import Planned
from runtime.operations.operation import AnyChange

WAIT_S: Final = 60.0
LOOK_S: Final = 1.0  # between words about how far it is

Members = dict[str, object]
Outcome = AppliedChange | Planned | PendingChange
Submit = Callable[[ChangeOptions], Outcome]


def add_change_arguments(parser: argparse.ArgumentParser, operation: AnyChange | None = None) -> None:
    group = parser.add_argument_group("how it is changed")
    group.add_argument("--dry-run", action="store_true", help="show what would change, and what the gate would say")
    group.add_argument("--propose", action="store_true", help="wait for an approval even where none is needed")
    if operation is None or all(member.name != "reason" for member in members_of(operation)):
        group.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the audit")
    group.add_argument("--break-glass", action="store_true", help="an admin's override of a needed approval")
    group.add_argument("--evidence", action="append", default=[], metavar="LINK", help="what led to it; repeatable")
    group.add_argument("--tainted", action="store_true", help="the evidence holds text from outside")
    group.add_argument(
        "--guard", default="", metavar="METRIC>BOUND@S", help="undo it by itself, as errors_share>0.05@300"
    )
    group.add_argument(
        "--if-match", type=int, default=0, metavar="REV", help="only if nothing changed since that revision"
    )
    group.add_argument("--idempotency-key", default="", metavar="KEY", help="the same key never changes twice")
    group.add_argument(
        "--wait",
        nargs="?",
        type=waiting_seconds,
        const=WAIT_S,
        default=0.0,
        metavar="S",
        help=f"until it took hold, also over an approval (default {WAIT_S:g} s)",
    )
    group.add_argument("--watch", action="store_true", help="as --wait, and tell how far it is")


def run_change(client: Client, operation: AnyChange, arguments: argparse.Namespace) -> int:
    members = as_request(operation, read_members(operation, arguments))
    return carry_out(client, operation, members, arguments)


def carry_out(client: Client, operation: AnyChange, members: Members, arguments: argparse.Namespace) -> int:
    """Submits it, waits if asked to, and tells. The exit code is one of main's."""
    return carry_out_by(partial(client.submit, operation.name, members), members, arguments)


def carry_out_by(submit: Submit, members: Members, arguments: argparse.Namespace, *, may_repeat: bool = True) -> int:
    """may_repeat: asking again under the same key, to hear how far it is, costs little."""
    options = options_of(members, arguments)
    seen: list[Outcome] = []
    try:
        with StatusLine(shown=_is_followed(arguments)) as line:
            outcome = _submitted(submit, options, line, seen, may_repeat=may_repeat)
            end = None
            if isinstance(outcome, PendingChange) and options.wait_s:
                end = _awaited(outcome, arguments, line)
    except KeyboardInterrupt:
        print(f"aether: interrupted; {_left_behind(seen)}", file=sys.stderr)
        raise
    return told(outcome, members, arguments) if end is None else told_end(end, arguments)


def _is_followed(arguments: argparse.Namespace) -> bool:
    """Whether somebody sees how far it is: who asked to, and who waits at a terminal."""
    at_terminal = bool(arguments.wait) and sys.stderr.isatty()
    return (arguments.watch or at_terminal) and not arguments.json


def _left_behind(seen: Sequence[Outcome]) -> str:
    """What goes on without whoever waited for it."""
    match seen[-1:]:
        case [PendingChange(id=identity)]:
            return f"proposal {identity} waits on; see aether why {identity}"
        case [AppliedChange(audit=audit)]:
            return f"the change is made, and takes hold by itself; see aether why {audit}"
    return "the change may have been made; see aether audit list"


def options_of(members: Members, arguments: argparse.Namespace) -> ChangeOptions:
    wait_s = arguments.wait or (WAIT_S if arguments.watch else 0.0)
    return ChangeOptions(
        dry_run=arguments.dry_run,
        propose=arguments.propose,
        reason=str(members.get("reason", "")) or getattr(arguments, "reason", ""),
        break_glass=arguments.break_glass,
        evidence=tuple(arguments.evidence),
        tainted=arguments.tainted,
        guard=arguments.guard,
        if_match=arguments.if_match,
        idempotency_key=arguments.idempotency_key or new_key(),
        wait_s=0.0 if arguments.dry_run else wait_s,
    )


def told(outcome: Outcome, members: Members, arguments: argparse.Namespace) -> int:
    """Prints what came of it and gives the exit code."""
    if arguments.json:
        show_json(document_of(outcome))
    if isinstance(outcome, Planned):
        if not arguments.json:
            show_plan(_plain(outcome.plan))
        return FAILED if outcome.plan.decision == "refuse" else DONE
    if isinstance(outcome, PendingChange):
        if not arguments.json:
            show_pending(outcome.proposed)
        return PROPOSED
    if not arguments.json:
        _show_applied(outcome, members)
    return NOT_CONVERGED if outcome.converged is False else DONE


def document_of(outcome: Outcome) -> Row:
    """As the API answers it."""
    if isinstance(outcome, Planned):
        return {"outcome": "planned", **_plain(outcome.plan)}
    if isinstance(outcome, PendingChange):
        return {"outcome": "proposed", **_untagged(outcome.proposed)}
    waited = () if outcome.converged is not None else ("converged", "waits_for")
    members = {name: value for name, value in _untagged(outcome).items() if name not in waited}
    return {**outcome.result, "outcome": "applied", **members}


def _submitted(
    submit: Submit, options: ChangeOptions, line: StatusLine, seen: list[Outcome], *, may_repeat: bool
) -> Outcome:
    """In one go, or step by step under one idempotency key where somebody watches."""
    in_steps = line.shown and may_repeat and not options.dry_run
    left_s = options.wait_s
    while True:
        wait_s = min(LOOK_S, left_s) if in_steps else left_s
        outcome = submit(dataclasses.replace(options, wait_s=wait_s))
        seen.append(outcome)
        left_s -= wait_s
        if not isinstance(outcome, AppliedChange) or outcome.converged is not False or left_s <= 0:
            return outcome
        line.say(outcome.waits_for)


def _awaited(pending: PendingChange, arguments: argparse.Namespace, line: StatusLine) -> ShownProposal:
    left_s = arguments.wait or WAIT_S
    line.say(f"proposal {pending.id} waits for {pending.proposed.approvers}")
    while True:
        try:
            pending.wait(min(LOOK_S, left_s))
            return pending.now()
        except WaitedInVain:
            left_s -= LOOK_S
            shown = pending.now()
            proposal = shown.proposal
            if left_s <= 0 or shown.is_settled:
                return shown
            if not proposal.waits:
                line.say(shown.waits_for)
                continue
            votes = ", ".join(f"{vote.voter.id} {'for' if vote.approve else 'against'}" for vote in proposal.votes)
            line.say(f"proposal {pending.id} is {proposal.state}; votes: {votes or 'none'}")


def told_end(shown: ShownProposal, arguments: argparse.Namespace) -> int:
    """Prints how a proposal stands that was waited for, and gives the exit code."""
    proposal = shown.proposal
    if arguments.json:
        known = {} if shown.converged is None else {"converged": shown.converged, "waits_for": shown.waits_for}
        show_json({"outcome": proposal.state, **_plain(proposal), **known})
    else:
        show_proposal({"proposal": _plain(proposal)})
    if proposal.waits:
        return PROPOSED
    if shown.converged is False:
        show_missing(shown.waits_for)
        return NOT_CONVERGED
    return DONE if proposal.state is ProposalState.APPLIED else FAILED


def _show_applied(outcome: AppliedChange, members: Members) -> None:
    again = " (answered before under this key)" if outcome.repeated else ""
    print(f"{painted('done', 'green')}  {one_line(outcome.summary)}{again}")
    show_members({name: value for name, value in outcome.result.items() if name not in members}, indent="  ")
    if outcome.converged is False:
        show_missing(outcome.waits_for)
    if outcome.inverse is not None:
        print(f"  undo: {painted(command_of(outcome.inverse), 'dim')}")
    print(f"  why:  {painted(f'aether why {outcome.audit}', 'dim')}")


def _untagged(value: msgspec.Struct) -> Row:
    return {name: each for name, each in _plain(value).items() if name != "type"}


def _plain(value: msgspec.Struct) -> Row:
    found: Row = msgspec.to_builtins(value)
    return found


def show_missing(waits_for: str) -> None:
    """What a change that was made still waits for."""
    print(f"  {painted('not yet', 'yellow')}: {one_line(waits_for)}", file=sys.stderr)
