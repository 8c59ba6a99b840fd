"""Answers to repeated keys, changes that undo themselves, and what people look at afterwards."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.errors import ReviewNotFound, VoteRefused
from controllers.gate.proposals import ProposalState
from controllers.gate.reviews import Review
from runtime.consensus.store import Put
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Guard, Refused, Submission
from runtime.state import keys
from tests.unit.gate_parts import GateOnHand, fence, model, person, proposal_of, records, scale_of

pytestmark = pytest.mark.anyio

ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo", Role.ADMIN)
BOT = Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, is_agent=True)
GUARD = Guard(slice="orders", metric="errors_share", bound=0.05, window_s=300)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


async def test_one_model_for_two_people_is_two_requesters(gate: GateOnHand) -> None:
    mine = await gate.scale(6, model(ANNA), idempotency_key="k")
    theirs = await gate.scale(6, model(BEN), idempotency_key="k")
    assert proposal_of(mine) != proposal_of(theirs)
    other = await gate.scale(6, model(ANNA), idempotency_key="k", if_match=1)
    assert isinstance(other, Refused)
    assert other.code == "idempotency_key_reused"


async def test_a_lease_of_answers_that_is_gone_is_replaced(gate: GateOnHand) -> None:
    assert isinstance(await gate.scale(5, ANNA, idempotency_key="a"), Applied)
    item = gate.state.items(keys.ANSWERS)[0]
    await gate.store.revoke(item.lease)
    assert isinstance(await gate.scale(6, ANNA, idempotency_key="b"), Applied)


async def test_a_guard_that_could_do_nothing_is_refused(gate: GateOnHand) -> None:
    restart = Submission(operation="slice.restart", request={"slice": "orders"}, actor=ANNA, guard=GUARD)
    for submission in (restart, scale_of("orders", 6, ANNA, guard=msgspec.structs.replace(GUARD, slice="nowhere"))):
        refused = await gate.gate.submit(submission)
        assert isinstance(refused, Refused)
        assert refused.code == "guard_impossible"
    for bound in (float("inf"), 5.0):  # of a share, which is 1 at most
        boundless = msgspec.structs.replace(GUARD, bound=bound)
        refused = await gate.gate.submit(scale_of("orders", 6, ANNA, guard=boundless))
        assert isinstance(refused, Refused)
        assert refused.code == "request_invalid"


async def test_a_guard_leaves_alone_what_was_changed_since_and_people_look_at_it(gate: GateOnHand) -> None:
    await gate.scale(6, ANNA, guard=GUARD)
    await gate.scale(8, CLEO)
    gate.figures.known["orders", "errors_share"] = 0.5
    await gate.guards.look_at_all(fence(gate))
    assert gate.wanted() == 8
    assert not gate.state.items(keys.GUARDS)
    (item,) = gate.state.items(keys.REVIEWS)
    review = msgspec.json.decode(item.value, type=Review)
    assert (review.kind, review.subject) == ("rollback_failed", "slice:orders")
    assert "changed again since" in review.reason
    with pytest.raises(VoteRefused, match="a part in it"):
        await gate.reviews.close(review.id, ANNA, reason="fine")


async def test_a_guard_that_cannot_be_read_keeps_no_other_from_its_turn(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key="guard/0", value=b"[]")])
    await gate.scale(6, ANNA, guard=GUARD)
    gate.figures.known["orders", "errors_share"] = 0.5
    await gate.guards.look_at_all(fence(gate))
    assert gate.wanted() == 4
    assert [item.key for item in gate.state.items(keys.GUARDS)] == ["guard/0"]


async def test_broken_glass_is_reviewed_by_somebody_else(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key="freeze/cluster", value=b"sale")])
    applied = await gate.scale(6, CLEO, break_glass=True, reason="guests wait")
    assert isinstance(applied, Applied)
    assert [item.key for item in gate.state.items(keys.REVIEWS)] == [keys.review(applied.audit)]
    for who in (CLEO, BOT, person("vic", Role.VIEWER)):
        with pytest.raises(VoteRefused):
            await gate.reviews.close(applied.audit, who, reason="all well")
    with pytest.raises(VoteRefused, match="what was found"):
        await gate.reviews.close(applied.audit, BEN, reason=" ")
    assert (await gate.reviews.close(applied.audit, BEN, reason="all well")).id == applied.audit
    with pytest.raises(ReviewNotFound):
        await gate.reviews.close(applied.audit, BEN, reason="again")
    kinds = [each.kind for each in await records(gate)]
    assert kinds == ["break_glass", *["vote_refused"] * 4, "reviewed", "vote_refused"]


async def test_a_guard_of_a_proposal_that_was_undone_by_hand_goes_and_nobody_need_look(gate: GateOnHand) -> None:
    """What was undone already is no rollback that failed."""
    identity = proposal_of(await gate.scale(6, ANNA, guard=GUARD, propose=True))
    for voter in (BEN, CLEO):
        await gate.votes.cast(identity, voter, approve=True, reason="")
    assert (await gate.settle(identity)).state is ProposalState.APPLIED
    assert isinstance(await gate.scale(4, CLEO, undoes=identity), Applied)
    assert gate.proposal(identity).state is ProposalState.ROLLED_BACK
    gate.figures.known["orders", "errors_share"] = 0.5
    await gate.guards.look_at_all(fence(gate))
    assert (gate.state.items(keys.GUARDS), gate.state.items(keys.REVIEWS)) == ([], [])
    assert gate.wanted() == 4
