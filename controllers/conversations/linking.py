"""What ties a change to the conversation that it came from: its taint holds, and what was made is told there."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from controllers.conversations.errors import ConversationNotFound
from controllers.conversations.limits import CARDS_MAX
from controllers.conversations.records import CardFate, CardFates, ConversationRecord, may_see
from runtime.consensus.store import Put
from runtime.operations.dispatch import Applied, Proposed, Submission
from runtime.operations.plan import Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

_Kind = TypeVar("_Kind", ConversationRecord, CardFates)


class Origin(NamedTuple):
    """The conversation as the change was judged by it; the state has noted both records."""

    conversation: str
    tainted: bool
    fates: CardFates


def origin_of(state: PlanState, submission: Submission) -> Origin | Refusal | None:
    """None for a change that came from none. One that is not of who asks, or of who they act for, is not there."""
    identity = submission.conversation
    if not identity:
        return None
    head = _read(state.value(keys.conversation(identity)), ConversationRecord)
    if head is None or not any(may_see(head, each) for each in submission.actor.chain()):
        fault = ConversationNotFound(identity)
        return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    fates = _read(state.value(keys.conversation_cards(identity)), CardFates) or CardFates(cards={})
    return Origin(conversation=identity, tainted=head.tainted, fates=fates)


def noted(origin: Origin, submission: Submission, outcome: Applied | Proposed, *, at_unix_ms: int) -> Put:
    """What writes the outcome beside the card, or, where there was none, under the outcome's own id."""
    proposal, audit = (outcome.proposal, "") if isinstance(outcome, Proposed) else ("", outcome.audit)
    fate = CardFate(
        outcome="proposed" if proposal else "applied",
        at_unix_ms=at_unix_ms,
        by=submission.actor.id,
        summary=outcome.summary,
        proposal=proposal,
        audit=audit,
    )
    others = {name: each for name, each in origin.fates.cards.items() if name != submission.card}
    newest = [*others.items(), (submission.card or proposal or audit, fate)][-CARDS_MAX:]
    return Put(key=keys.conversation_cards(origin.conversation), value=encode(CardFates(cards=dict(newest))))


def _read(raw: bytes | None, kind: type[_Kind]) -> _Kind | None:
    """None for what there is not, and for what a newer version wrote."""
    try:
        return msgspec.json.decode(raw, type=kind) if raw is not None else None
    except msgspec.DecodeError:
        return None
