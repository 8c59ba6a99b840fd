"""Starts that triggers proposed and whose alert has ended since: whoever approved one would mend what is well."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from controllers.gate.proposals import Proposal, read_proposal
from controllers.gate.uncut import WholeProposal, unpacked
from runtime.deployment.records import Snapshot
from runtime.operations.actor import ActorKind
from runtime.state import keys

TRIGGER: Final = "trigger:"
"""How ids of triggers as actors begin."""


def outdated(state: Snapshot, lasting: Collection[str]) -> Iterator[Proposal]:
    """Those that wait. lasting: keys of alerts; one that is silenced lasts, too."""
    for item in state.items(keys.PROPOSALS_OPEN):
        kept = state.get(keys.proposal(keys.parts(item.key)[0]))
        proposal = read_proposal(kept.value) if kept is not None else None
        if proposal is None or not proposal.waits or not _is_of_trigger(proposal):
            continue
        alert = _alert_of(state, proposal.id)
        if alert and alert not in lasting:
            yield proposal


def _is_of_trigger(proposal: Proposal) -> bool:
    return proposal.actor.kind is ActorKind.PLAYBOOK and proposal.actor.id.startswith(TRIGGER)


def _alert_of(state: Snapshot, proposal: str) -> str:
    """The alert's key; empty for what another trigger asked for, or cannot be read."""
    kept = state.get(keys.proposal_whole(proposal))
    whole = unpacked(kept.value, WholeProposal) if kept is not None else None
    if whole is None:
        return ""
    try:
        return msgspec.convert(whole.call.request, _Start).made.trigger.alert
    except msgspec.ValidationError:
        return ""


class _Trigger(msgspec.Struct, frozen=True):
    alert: str = ""


class _Made(msgspec.Struct, frozen=True):
    trigger: _Trigger


class _Start(msgspec.Struct, frozen=True):
    made: _Made
