"""`aether approve|reject|withdraw ID`."""

from __future__ import annotations

import argparse
import contextlib
from typing import Final

import msgspec

from agent_api.cli.change import show_missing
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.main import DONE, FAILED, NOT_CONVERGED, PROPOSED
from agent_api.cli.parser import waiting_seconds
from agent_api.cli.proposal_view import show_proposal
from agent_api.cli.table import show_json
from agent_api.client.answers import ShownProposal
from agent_api.client.client import Client
from agent_api.client.errors import WaitedInVain
from controllers.gate.proposals import Proposal, ProposalState
from runtime.errors import RuntimeFault

WAIT_S: Final = 60.0
APPLIED_S: Final = 5.0  # the leader applies what is approved a moment later


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of a proposal: aether proposals")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the audit")
    parser.add_argument(
        "--wait",
        nargs="?",
        type=waiting_seconds,
        const=WAIT_S,
        default=0.0,
        metavar="S",
        help=f"until it has taken hold or ended otherwise (default {WAIT_S:g} s)",
    )
    parser.add_argument("--json", action="store_true", help="print the proposal as JSON")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 when the vote was taken and, where it decided, the change applied; 3 while others must approve as well."""
    try:
        with client_of(arguments) as client:
            proposal = client.decide(arguments.id, arguments.command, arguments.reason)
            shown = _awaited(client, proposal, arguments)
    except RuntimeFault as fault:
        return report(arguments.command, fault)
    if arguments.json:
        show_json(msgspec.to_builtins(shown.proposal))
    else:
        show_proposal({"proposal": msgspec.to_builtins(shown.proposal)})
    if shown.converged is False:
        show_missing(shown.waits_for)
    return _code(shown, arguments.command)


def _awaited(client: Client, proposal: Proposal, arguments: argparse.Namespace) -> ShownProposal:
    """With --wait until it has taken hold; else, where this vote decided it, until the leader has applied it."""
    talks = client.talks
    if not arguments.wait and proposal.state is not ProposalState.APPROVED:
        return ShownProposal(proposal=proposal)
    with contextlib.suppress(WaitedInVain):
        if arguments.wait:
            client.perform(talks.settled(proposal.id, arguments.wait))
        else:
            return ShownProposal(proposal=client.perform(talks.decided(proposal.id, APPLIED_S)))
    return client.perform(talks.shown(proposal.id))


def _code(shown: ShownProposal, command: str) -> int:
    proposal = shown.proposal
    if shown.converged is False:
        return NOT_CONVERGED
    if proposal.waits:
        return PROPOSED if command == "approve" else FAILED
    wanted = {
        "approve": (ProposalState.APPLIED,),
        "reject": (ProposalState.REJECTED,),
        "withdraw": (ProposalState.WITHDRAWN,),
    }
    return DONE if proposal.state in wanted[command] else FAILED
