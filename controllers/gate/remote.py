"""The gate from any node: what is asked of one that does not lead goes to the leader's, over the control frames."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from controllers.gate.audit import NO_TRACE, Trace
from controllers.gate.errors import GateFault
from controllers.gate.gate import Gate
from controllers.gate.proposals import Proposal
from controllers.gate.reviews import Review, Reviews
from controllers.gate.voting import Votes
from runtime.consensus.errors import NoQuorum, NotLeader, StoreFault
from runtime.consensus.store import Revision
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, RemoteFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.names import NodeId
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Applied, Outcome, Proposed, Refused, Submission

ASK: Final = "_gate/ask"
ASK_S: Final = 10.0


class VoteCast(msgspec.Struct, frozen=True, kw_only=True, tag="vote"):
    proposal: str
    actor: Actor
    approve: bool
    reason: str = ""
    trace: Trace = NO_TRACE


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, tag="withdraw"):
    proposal: str
    actor: Actor
    reason: str = ""
    trace: Trace = NO_TRACE


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="submit"):
    submission: Submission


class Closing(msgspec.Struct, frozen=True, kw_only=True, tag="close"):
    """Of a review: `reason` says what was found."""

    review: str
    actor: Actor
    reason: str
    trace: Trace = NO_TRACE


class Decided(msgspec.Struct, frozen=True, kw_only=True, tag="decided"):
    """A proposal after a vote or a withdrawal. `revision`: from which on it can be read so."""

    proposal: Proposal
    revision: int = 0


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """A review that is open no more."""

    review: Review
    revision: int = 0


Question = Asked | VoteCast | Withdrawal | Closing
Answer = Outcome | Decided | Closed

_question: Final[msgspec.msgpack.Decoder[Question]] = msgspec.msgpack.Decoder(Question)
_answer: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


class GateLink:
    """Implements Dispatcher on every node. `connect` gives the connection to another node's control."""

    def __init__(
        self,
        *,
        node: NodeId,
        leader: Callable[[], str],
        gate: Gate,
        votes: Votes,
        reviews: Reviews,
        now: Callable[[], Revision],
        connect: Callable[[NodeId], Awaitable[Connection]],
        arrived: Callable[[Revision], Awaitable[None]],
    ) -> None:
        """now: the revision that this node has seen; arrived: returns once it has seen another one, so that who changed
        something reads it here."""
        self._node = node
        self._leader = leader
        self._gate = gate
        self._votes = votes
        self._reviews = reviews
        self._now = now
        self._connect = connect
        self._arrived = arrived

    def offer(self, handlers: Handlers) -> None:
        handlers.unary[ASK] = self._asked

    async def submit(self, submission: Submission) -> Outcome:
        answer = await self._ask(Asked(submission=submission))
        assert not isinstance(answer, Decided | Closed)
        return answer

    async def vote(self, cast: VoteCast) -> Proposal | Refused:
        return await self._decided(cast)

    async def withdraw(self, withdrawal: Withdrawal) -> Proposal | Refused:
        return await self._decided(withdrawal)

    async def close(self, closing: Closing) -> Review | Refused:
        answer = await self._ask(closing)
        if isinstance(answer, Closed):
            return answer.review
        assert isinstance(answer, Refused)
        return answer

    async def _decided(self, question: VoteCast | Withdrawal) -> Proposal | Refused:
        answer = await self._ask(question)
        if isinstance(answer, Decided):
            return answer.proposal
        assert isinstance(answer, Refused)
        return answer

    async def _ask(self, question: Question) -> Answer:
        answer = await self._asked_leader(question)
        if isinstance(answer, Applied | Proposed | Decided | Closed):
            await self._arrived(Revision(answer.revision))
        return answer

    async def _asked_leader(self, question: Question) -> Answer:
        """Raises NoQuorum when nobody leads, NotLeader when the leader cannot be reached; nothing was done then, or it
        was and an idempotency key gives the answer again. RemoteFault for what nobody foresaw there."""
        leader = self._leader()
        if leader == self._node:
            return await self.answer(question)
        if not leader:
            raise NoQuorum("no node leads: too few core nodes run, or they are choosing one")
        try:
            connection = await self._connect(NodeId(leader))
            raw = await connection.call(ASK, msgspec.msgpack.encode(question), deadline_s=ASK_S)
        except RemoteFault:
            raise  # it was reached, and failed: another try would fare no better
        except CallFault as error:
            raise NotLeader(leader) from error
        return _answer.decode(raw)

    async def _asked(self, call: IncomingCall) -> bytes:
        return msgspec.msgpack.encode(await self.answer(_question.decode(call.payload)))

    async def answer(self, question: Question) -> Answer:
        """On the leader; everything that is refused is an answer too."""
        try:
            match question:
                case Asked(submission=submission):
                    return await self._gate.submit(submission)
                case VoteCast():
                    proposal = await self._votes.cast(
                        question.proposal,
                        question.actor,
                        approve=question.approve,
                        reason=question.reason,
                        trace=question.trace,
                    )
                    return Decided(proposal=proposal, revision=int(self._now()))
                case Withdrawal():
                    proposal = await self._votes.withdraw(
                        question.proposal, question.actor, reason=question.reason, trace=question.trace
                    )
                    return Decided(proposal=proposal, revision=int(self._now()))
                case Closing():
                    review = await self._reviews.close(
                        question.review, question.actor, reason=question.reason, trace=question.trace
                    )
                    return Closed(review=review, revision=int(self._now()))
        except (GateFault, StoreFault) as fault:
            return Refused(code=fault.code, detail=str(fault), remedy=fault.remedy, retryable=fault.retryable)
