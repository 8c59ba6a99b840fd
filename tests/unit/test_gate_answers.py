"""What is answered to a request that is sent again under its idempotency key."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.answers import AnswerBook
from controllers.gate.proposals import ProposalState
from runtime.consensus.store import VALUE_BYTES_MAX, Delete
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.operations.plan import Call
from runtime.state import keys
from tests.unit.gate_parts import GateOnHand, model, person

pytestmark = pytest.mark.anyio

ANNA, BEN = person("anna"), person("ben")
CI = Actor(kind=ActorKind.AUTOMATION, id="ci", role=Role.OPERATOR)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


async def approved(gate: GateOnHand) -> str:
    waits = await gate.scale(6, model(ANNA), idempotency_key="k1")
    assert isinstance(waits, Proposed)
    await gate.votes.cast(waits.proposal, BEN, approve=True, reason="")
    return waits.proposal


async def test_a_proposal_that_was_applied_answers_what_it_came_to(gate: GateOnHand) -> None:
    """Whoever asked and lost the first answer would else never learn by their key that it happened."""
    identity = await approved(gate)
    again = await gate.scale(6, model(ANNA), idempotency_key="k1")
    assert isinstance(again, Proposed)
    assert (again.proposal, again.repeated) == (identity, True)
    assert (await gate.settle(identity)).state is ProposalState.APPLIED
    done = await gate.scale(6, model(ANNA), idempotency_key="k1")
    assert isinstance(done, Applied)
    assert (done.repeated, done.result["wanted"], done.revision) == (True, 6, gate.state.revision)
    assert gate.state.get(keys.audit_fresh(done.audit)) is not None
    other = await gate.scale(7, model(ANNA), idempotency_key="k1")
    assert isinstance(other, Refused)
    assert other.code == "idempotency_key_reused"


async def test_an_answer_is_kept_for_its_day_whatever_becomes_of_it(gate: GateOnHand) -> None:
    await gate.settle(await approved(gate))
    gate.pass_time(23 * 3_600_000)
    assert isinstance(await gate.scale(6, model(ANNA), idempotency_key="k1"), Applied)
    gate.pass_time(2 * 3_600_000)
    assert not gate.state.items(keys.ANSWERS)


async def test_a_proposal_whose_answer_is_not_kept_any_more_is_applied_all_the_same(gate: GateOnHand) -> None:
    identity = await approved(gate)
    await gate.store.txn((), [Delete(key=keys.ANSWERS, prefix=True)])
    assert (await gate.settle(identity)).state is ProposalState.APPLIED
    assert not gate.state.items(keys.ANSWERS)


async def test_the_same_request_on_other_evidence_is_another_one(gate: GateOnHand) -> None:
    assert isinstance(await gate.scale(6, ANNA, idempotency_key="k1"), Applied)
    refused = await gate.scale(6, ANNA, idempotency_key="k1", tainted=True)
    assert isinstance(refused, Refused)
    assert refused.code == "idempotency_key_reused"


async def test_an_inverse_that_leaves_no_room_is_left_out_of_the_answer(gate: GateOnHand) -> None:
    """A blueprint's source grows when it is quoted: the change itself would be refused for its answer."""
    applied = await gate.scale(6, ANNA)
    assert isinstance(applied, Applied)
    long = Call(operation="blueprint.apply", request={"blueprint": "b", "source": '"' * 48 * 1024})
    submission = Submission(operation="slice.scale", request={}, actor=ANNA, idempotency_key="k1")
    book = AnswerBook(gate.store, gate.clock)
    written = await book.kept(submission, msgspec.structs.replace(applied, inverse=long))
    assert len(written[0].value) <= VALUE_BYTES_MAX  # type: ignore[union-attr]  # a Put
    await gate.store.txn((), written)
    found = await book.find(submission)
    assert isinstance(found, Applied)
    assert (found.audit, found.inverse) == (applied.audit, None)
