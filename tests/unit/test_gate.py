"""The gate: who may act at once, what waits for whom, and that exactly what was approved happens, once."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.audit import read_chained, read_link, verify
from controllers.gate.chaining import unpack
from controllers.gate.errors import ProposalEnded, VoteRefused
from controllers.gate.proposals import ProposalState
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Guard, Planned, Proposed, Refused
from runtime.security.principals import PrincipalRecord
from tests.unit.gate_parts import GateOnHand, model, person, target

pytestmark = pytest.mark.anyio

ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo", Role.ADMIN)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


async def proposed(gate: GateOnHand, instances: int = 6) -> str:
    outcome = await gate.scale(instances, model(ANNA))
    assert isinstance(outcome, Proposed), outcome
    return outcome.proposal


async def test_a_person_scales_at_once_and_the_change_is_audited(gate: GateOnHand) -> None:
    outcome = await gate.scale(6, ANNA, reason="more guests")
    assert isinstance(outcome, Applied)
    assert (gate.wanted(), outcome.gate_class, outcome.result["before"]) == (6, "G0", 4)
    fence = gate.fence()
    assert fence is not None
    assert await gate.chain.append(fence) == 1
    records = [read_chained(item.value) for item in gate.state.items("audit/")]
    assert (await gate.audit.verify()).number == 1
    assert (records[0].record.kind, records[0].record.reason) == ("applied", "more guests")
    assert records[0].revision == outcome.revision


async def test_a_dry_run_shows_the_plan_and_changes_nothing(gate: GateOnHand) -> None:
    before = gate.state.revision
    outcome = await gate.scale(6, ANNA, dry_run=True)
    assert isinstance(outcome, Planned)
    assert [(each.path, each.before, each.after) for each in outcome.plan.diff] == [("wanted", 4, 6)]
    assert outcome.plan.inverse is not None
    assert outcome.plan.inverse.request["instances"] == 4
    assert gate.state.revision == before


async def test_a_model_proposes_and_one_approver_lets_it_happen(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    assert gate.wanted() == 4
    await gate.votes.cast(identity, BEN, approve=True, reason="looks right")
    assert (await gate.settle(identity)).state is ProposalState.APPLIED
    assert gate.wanted() == 6
    assert (await gate.settle(identity)).state is ProposalState.APPLIED


async def test_what_waits_though_it_need_not_says_who_wants_that(gate: GateOnHand) -> None:
    """A card whose reason is "low risk for a person" leaves people to wonder why they are asked."""
    outcome = await gate.scale(6, ANNA, propose=True)
    assert isinstance(outcome, Proposed)
    assert outcome.rule.startswith("anna asked for it and wants others to agree (low risk for a person")
    assert gate.proposal(await proposed(gate, 5)).rule.startswith("low risk for an agent")


async def test_the_person_a_model_acts_for_does_not_count(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    with pytest.raises(VoteRefused, match="acts for"):
        await gate.votes.cast(identity, ANNA, approve=True, reason="")


async def test_one_no_ends_a_proposal(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    assert (await gate.votes.cast(identity, BEN, approve=False, reason="no")).state is ProposalState.REJECTED
    with pytest.raises(ProposalEnded, match="rejected by ben: no"):
        await gate.votes.cast(identity, CLEO, approve=True, reason="")


async def test_two_people_are_needed_when_the_evidence_may_mislead(gate: GateOnHand) -> None:
    outcome = await gate.scale(6, model(ANNA), tainted=True)
    assert isinstance(outcome, Proposed)
    assert outcome.gate_class == "G2"
    assert (await gate.votes.cast(outcome.proposal, BEN, approve=True, reason="")).state is ProposalState.PENDING
    assert (await gate.votes.cast(outcome.proposal, BEN, approve=True, reason="again")).state is ProposalState.PENDING
    assert (await gate.votes.cast(outcome.proposal, CLEO, approve=True, reason="")).state is ProposalState.APPROVED


async def test_a_proposal_that_nobody_decides_expires_and_is_never_applied(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    gate.pass_time(16 * 60_000)
    assert (await gate.settle(identity)).state is ProposalState.EXPIRED
    assert gate.wanted() == 4


async def test_a_changed_effect_is_stale_and_says_what_changed(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.scale(5, CLEO)
    ended = await gate.settle(identity)
    assert (ended.state, gate.wanted()) == (ProposalState.STALE, 5)
    assert [(each.before, each.after) for each in ended.changed_since] == [(5, 6)]


async def test_an_unrelated_write_does_not_void_an_approval(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    await gate.put("slice-target/tea/1", target("tea", 3))
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    assert (await gate.settle(identity)).state is ProposalState.APPLIED


async def test_a_revoked_role_voids_a_vote(gate: GateOnHand) -> None:
    identity = await proposed(gate)
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.principal(PrincipalRecord(id="ben", kind="person", role=Role.VIEWER))
    assert (await gate.settle(identity)).state is ProposalState.PENDING
    assert gate.wanted() == 4
    await gate.votes.cast(identity, CLEO, approve=True, reason="")
    assert (await gate.settle(identity)).state is ProposalState.APPLIED


async def test_the_same_key_gets_the_first_answer_and_another_request_with_it_is_refused(gate: GateOnHand) -> None:
    first = await gate.scale(6, ANNA, idempotency_key="k1")
    again = await gate.scale(6, ANNA, idempotency_key="k1")
    assert isinstance(first, Applied)
    assert isinstance(again, Applied)
    assert (again.revision, again.audit, again.repeated) == (first.revision, first.audit, True)
    other = await gate.scale(7, ANNA, idempotency_key="k1")
    assert isinstance(other, Refused)
    assert other.code == "idempotency_key_reused"
    assert gate.wanted() == 6


async def test_a_guard_undoes_a_change_once(gate: GateOnHand) -> None:
    guard = Guard(slice="orders", metric="errors_share", bound=0.05, window_s=300)
    outcome = await gate.scale(6, ANNA, guard=guard)
    assert isinstance(outcome, Applied)
    fence = gate.fence()
    assert fence is not None
    (item,) = gate.state.items("guard/")
    assert not await gate.guards.look(item, fence)
    gate.figures.known["orders", "errors_share"] = 0.5
    assert await gate.guards.look(item, fence)
    assert gate.wanted() == 4
    await gate.scale(6, CLEO)
    await gate.guards.look(item, fence)
    assert gate.wanted() == 6


async def test_who_lacks_the_role_is_refused_and_so_is_an_unknown_name(gate: GateOnHand) -> None:
    outcome = await gate.scale(6, person("vic", Role.VIEWER))
    assert isinstance(outcome, Refused)
    assert outcome.code == "refused_by_policy"
    unknown = await gate.gate.submit(
        msgspec.structs.replace(gate_submission(), operation="slice.scal", request={"slice": "orders", "instances": 1})
    )
    assert isinstance(unknown, Refused)
    assert "slice.scale" in unknown.detail


async def test_an_admin_may_break_the_glass_with_a_reason(gate: GateOnHand) -> None:
    await gate.store.txn((), [put("freeze/cluster", b"the big sale")])
    waits = await gate.scale(6, CLEO)
    assert isinstance(waits, Proposed)
    assert "the big sale" in waits.rule
    no_reason = await gate.scale(6, CLEO, break_glass=True)
    assert isinstance(no_reason, Refused)
    assert isinstance(await gate.scale(6, CLEO, break_glass=True, reason="guests wait"), Applied)
    assert gate.wanted() == 6


async def test_old_audit_records_become_content_and_the_chain_still_holds(gate: GateOnHand) -> None:
    fence = gate.fence()
    assert fence is not None
    for number in range(1_260):
        await gate.scale(4 + number % 2, ANNA)
        if number % 90 == 0:
            while await gate.chain.append(fence):
                pass
    while await gate.chain.append(fence):
        pass
    assert await gate.chain.seal(fence)
    assert not await gate.chain.seal(fence)
    (segment,) = gate.kept.values()
    kept = [read_link(item.value) for item in gate.state.items("audit/")]
    assert len(kept) == 1_010
    assert verify([*unpack(segment), *kept]).number == (await gate.audit.verify()).number == 1_260


def gate_submission():  # type: ignore[no-untyped-def]
    from runtime.operations.dispatch import Submission

    return Submission(operation="", request={}, actor=ANNA)


def put(key: str, value: bytes):  # type: ignore[no-untyped-def]
    from runtime.consensus.store import Put

    return Put(key=key, value=value)
