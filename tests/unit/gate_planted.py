"""Mistakes planted in the gate, one for each protection: the machine must find every one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from controllers.gate import applying, audit, chaining, desk, evaluate, gate, guarding, proposals, voting, writing
from controllers.gate.answers import AnswerBook
from controllers.gate.desk import GateDesk
from controllers.gate.proposals import Proposal, Vote
from runtime.consensus.store import Delete, absent
from runtime.operations.plan import Plan
from runtime.state import keys

Plant = Callable[[pytest.MonkeyPatch], None]
NOTHING: Final = absent("no-such-key")
"""A comparison that always holds."""


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    for module in (writing, applying, voting, guarding):
        patch.setattr(module, "led_by", lambda _fence: NOTHING)


def _no_reads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "compares", lambda _plan: [])


def _no_expiry(patch: pytest.MonkeyPatch) -> None:
    """The live key is looked at before, and not compared with the change."""
    patch.setattr(applying, "present", lambda _key: NOTHING)


def _end_not_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applying, "stored", lambda _proposal: [])


def _votes_as_they_were(patch: pytest.MonkeyPatch) -> None:
    """A role that was revoked since does not void a vote."""
    patch.setattr(applying, "is_approved", lambda _proposal, _voters: True)


def _requester_counts(patch: pytest.MonkeyPatch) -> None:
    for module in (proposals, voting):
        patch.setattr(module, "why_not", lambda _proposal, voter: "" if voter.is_human else "no person")


def _one_person_twice(patch: pytest.MonkeyPatch) -> None:
    def with_vote(proposal: Proposal, vote: Vote) -> Proposal:
        return msgspec.structs.replace(proposal, votes=(*proposal.votes, vote))

    def is_approved(proposal: Proposal, voters: Any) -> bool:
        return len(proposals.valid_votes(proposal, voters)) >= proposal.needs.approvers

    patch.setattr(voting, "with_vote", with_vote)
    for module in (voting, applying):
        patch.setattr(module, "is_approved", is_approved)


def _effect_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applying, "_differs", lambda _proposal, _judged: "")


def _class_not_asked_again(patch: pytest.MonkeyPatch) -> None:
    def differs(proposal: Proposal, judged: desk.Judged) -> str:
        return "" if judged.effect(proposal.needs) == proposal.effect else "another effect"

    patch.setattr(applying, "_differs", differs)


def _no_freeze(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "frozen_because", lambda _state, _subjects: "")


def _taint_forgotten(patch: pytest.MonkeyPatch) -> None:
    judge = GateDesk.judge

    def forgetful(self: GateDesk, *asked: Any, tainted: bool, **more: Any) -> Any:
        del tainted
        return judge(self, *asked, tainted=False, **more)

    patch.setattr(GateDesk, "judge", forgetful)


def _agents_act(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_kinds", lambda policy, _actor: policy.people)


def _agents_together(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "busy_in", lambda _state, _domains: "")


def _agents_often(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "recent_changes", lambda _state, _subject: ())


def _answer_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AnswerBook, "unanswered", lambda _book, _submission: [])


def _answer_not_kept(patch: pytest.MonkeyPatch) -> None:
    async def kept(_book: AnswerBook, _submission: Any, _outcome: Any) -> list[Any]:
        return []

    patch.setattr(AnswerBook, "kept", kept)


def _no_record(patch: pytest.MonkeyPatch) -> None:
    def writes(judged: desk.Judged, _actor: Any, _record: Any, *more: Any) -> list[Any]:
        return [*judged.plan.writes(), *more]

    for module in (gate, applying):
        patch.setattr(module, "writes", writes)


def _no_review(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gate, "opened", lambda record, _kind: Delete(key=keys.review(record.id)))


def _chained_by_key(patch: pytest.MonkeyPatch) -> None:
    """In the order of ids, which are made before the transactions are."""
    patch.setattr(chaining, "sorted", lambda items, key: sorted(items, key=lambda item: item.key), raising=False)


def _head_read_last(patch: pytest.MonkeyPatch) -> None:
    async def append(self: Any, fence: Any) -> int:
        fresh = sorted(await self._fresh(), key=lambda each: (each.mod_revision, each.key))
        head, at = await self._head()
        for item in fresh:
            placed = audit.link(
                chaining._record(item), number=head.number + 1, revision=int(item.mod_revision), previous=head.hash
            )
            head = msgspec.structs.replace(head, number=placed.number, hash=placed.hash)
            put = chaining.Put(key=keys.audit(placed.number), value=msgspec.json.encode(placed))
            at = await self._write(fence, at, [put, Delete(key=item.key)], head)
        return len(fresh)

    patch.setattr(chaining.AuditChain, "append", append)


def _undone_again(patch: pytest.MonkeyPatch) -> None:
    """The guard stays, and whether the change still stands is not looked at."""
    patch.setattr(guarding, "recent_changes", lambda _state, _subject: _Always())
    patch.setattr(guarding, "Delete", lambda key: Delete(key="no-such-key" if key.startswith(keys.GUARDS) else key))


class _Always:
    """Changes of which the last is whatever one looks for."""

    def __getitem__(self, _place: int) -> _Always:
        return self

    @property
    def audit(self) -> Any:
        class Same:
            def __ne__(self, _other: object) -> bool:
                return False

            __hash__ = None  # type: ignore[assignment]

        return Same()


def _stale_precondition(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gate, "unfit", lambda _submission, _judged, _state, _catalogue: None)


PLANTED: Final[dict[str, Plant]] = {
    "every write compares the leadership": _no_fence,
    "a change compares all that it was planned from": _no_reads,
    "an application compares the live key": _no_expiry,
    "a proposal ends with its application": _end_not_written,
    "a revoked role voids a vote": _votes_as_they_were,
    "who asked does not count": _requester_counts,
    "one person is one vote": _one_person_twice,
    "only the approved effect is applied": _effect_not_compared,
    "a risen class makes an approval stale": _class_not_asked_again,
    "a freeze raises the class": _no_freeze,
    "misleading evidence raises the class": _taint_forgotten,
    "agents never act at once": _agents_act,
    "agents change one thing at a time in a failure domain": _agents_together,
    "agents change a subject three times in ten minutes": _agents_often,
    "an idempotency key is compared": _answer_not_compared,
    "an answer is written with the change": _answer_not_kept,
    "a change has its audit record": _no_record,
    "broken glass is reviewed": _no_review,
    "the chain has the order of revisions": _chained_by_key,
    "the chain's head is read before the records": _head_read_last,
    "a guard runs once": _undone_again,
    "a failed precondition refuses": _stale_precondition,
}
