"""What a hostile reader of the gate would try: each of these once went wrong, or easily could."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from controllers.gate.audit import read_chained
from controllers.gate.circumstances import RecentChanges, touched
from controllers.gate.errors import ProposalEnded, ProposalNotFound
from controllers.gate.policy import default_text
from controllers.gate.proposals import VOTES_MAX, ProposalState, Vote, shortened, with_vote
from controllers.gate.trimming import Trimmer
from controllers.gate.uncut import WholeProposal, packed
from runtime.consensus.store import Delete, Put
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Outcome, Planned, Proposed, Refused, Submission
from runtime.operations.plan import Call, FieldChange, KeyChange, Plan
from runtime.state import keys
from runtime.state.values import encode
from tests.unit.gate_parts import GateOnHand, fence, model, person, proposal_of, records, scale_of, target

pytestmark = pytest.mark.anyio

ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo", Role.ADMIN)
BOT = Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, is_agent=True)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


async def leases(gate: GateOnHand) -> int:
    return len(gate.store.engine.machine.leases.all())


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_an_agents_twentieth_proposal_can_still_be_applied(gate: GateOnHand) -> None:
    """The proposals that wait limit new ones, not those that wait."""
    first = proposal_of(await gate.scale(5, model(ANNA)))
    for number in range(19):
        await gate.scale(5 + number % 3, model(ANNA))
    full = await gate.scale(7, model(ANNA))
    assert isinstance(full, Refused)
    assert (full.code, full.retryable) == ("refused_by_policy", True)
    await gate.votes.cast(first, BEN, approve=True, reason="")
    assert (await gate.settle(first)).state is ProposalState.APPLIED


async def test_proposals_that_are_asked_for_at_once_are_all_counted(gate: GateOnHand) -> None:
    outcomes: list[Outcome] = []

    async def ask() -> None:
        outcomes.append(await gate.scale(6, model(ANNA)))

    async with anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(ask)
    assert sum(isinstance(each, Proposed) for each in outcomes) == 20
    assert len(gate.state.items(keys.PROPOSALS_OPEN)) == 20


async def test_an_approved_change_waits_for_another_agents_turn(gate: GateOnHand) -> None:
    first = proposal_of(await gate.scale(5, model(ANNA)))
    await gate.votes.cast(first, BEN, approve=True, reason="")
    await gate.settle(first)
    gate.pass_time(40_000)
    second = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.put("slice-target/tea/1", target("tea", 3))
    other = proposal_of(await gate.gate.submit(scale_of("tea", 4, BOT)))
    for each in (second, other):
        await gate.votes.cast(each, CLEO, approve=True, reason="")
    assert (await gate.settle(second)).state is ProposalState.APPLIED
    assert (await gate.settle(other)).state is ProposalState.APPROVED, "one at a time in a failure domain"
    gate.pass_time(40_000)
    assert (await gate.settle(other)).state is ProposalState.APPLIED


async def test_other_peoples_changes_do_not_push_out_what_limits_agents(gate: GateOnHand) -> None:
    for instances in (5, 6, 7):
        identity = proposal_of(await gate.scale(instances, model(ANNA)))
        await gate.votes.cast(identity, BEN, approve=True, reason="")
        assert (await gate.settle(identity)).state is ProposalState.APPLIED
        gate.pass_time(40_000)
    for number in range(20):
        await gate.scale(4 + number % 2, CLEO)
    refused = await gate.scale(9, model(ANNA))
    assert isinstance(refused, Refused)
    assert "3 times in 10 minutes" in refused.detail


async def test_an_agent_that_changes_a_slice_by_its_blueprint_is_limited_all_the_same(gate: GateOnHand) -> None:
    plan = Plan(
        operation="blueprint.apply",
        subject="blueprint:shop",
        summary="",
        changes=(
            KeyChange(key="slice-target/orders/1", before=b"{}", after=b"{}"),
            KeyChange(key="instance/n1/tea/0", before=b"{}", after=None),
        ),
    )
    assert touched(plan) == ("blueprint:shop", "slice:orders", "slice:tea")


async def test_a_freeze_of_the_blueprint_holds_for_its_slices(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key="freeze/blueprint:shop", value=b"the big sale")])
    waits = await gate.scale(6, ANNA)
    assert isinstance(waits, Proposed)
    assert "the big sale" in waits.rule


async def test_a_long_reason_of_a_freeze_stops_nothing(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key="freeze/cluster", value=b"x" * 60_000)])
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    for voter in (BEN, CLEO):
        await gate.votes.cast(identity, voter, approve=True, reason="y" * 1_000)
    assert (await gate.settle(identity)).state is ProposalState.APPLIED
    assert [each.kind for each in await records(gate)] == ["proposed", "voted", "voted", "applied"]


# -- poison ------------------------------------------------------------------------------------------------------------


async def test_a_proposal_that_cannot_be_read_or_planned_stops_no_other(gate: GateOnHand) -> None:
    approved = proposal_of(await gate.scale(5, model(ANNA)))
    raw = msgspec.json.decode(encode(await gate.votes.cast(approved, BEN, approve=True, reason="")))
    await gate.votes.withdraw(approved, ANNA, reason="")
    await gate.store.txn((), [Put(key="proposal/00", value=b'{"id": 1}'), Put(key="proposal-open/00", value=b"")])
    broken = {**raw, "id": "01"}
    whole = WholeProposal(call=Call(operation="slice.explode", request={}))
    await gate.store.txn(
        (),
        [
            Put(key="proposal/01", value=msgspec.json.encode(broken)),
            Put(key="proposal-whole/01", value=packed(whole)),
            Put(key="proposal-open/01", value=b""),
            Put(key="proposal-live/01", value=b""),
        ],
    )
    good = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.cast(good, BEN, approve=True, reason="")
    gate.desk.judge = exploding(gate.desk.judge)  # type: ignore[method-assign]
    await gate.applier.look(fence(gate))
    assert gate.proposal(good).state is ProposalState.APPLIED
    assert any(line.event == "proposal_failed" for line in gate.log.lines)
    with pytest.raises(ProposalNotFound, match="newer"):
        await gate.votes.cast("00", BEN, approve=True, reason="")


def exploding(judge):  # type: ignore[no-untyped-def]
    def judged(state, call, *rest, **more):  # type: ignore[no-untyped-def]
        if call.operation == "slice.explode":
            raise KeyError("a planner's mistake")
        return judge(state, call, *rest, **more)

    return judged


async def test_a_policy_that_cannot_be_read_asks_for_two_people_and_can_be_replaced(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key=keys.POLICY, value=b"version = 99\nshape = 'new'")])
    waits = await gate.scale(6, CLEO)
    assert isinstance(waits, Proposed)
    assert waits.approvers.startswith("2 distinct")
    await gate.store.txn((), [Put(key=keys.POLICY, value=default_text().encode())])
    assert isinstance(await gate.scale(6, CLEO), Applied)


async def test_ended_proposals_leave_room_for_new_ones_however_large_they_are(gate: GateOnHand) -> None:
    """A hundred of blueprints alone would fill what all proposals may have."""
    large = msgspec.structs.replace(
        gate.proposal(proposal_of(await gate.scale(6, BEN, propose=True))), reason="x" * 50_000
    )
    ended = [msgspec.structs.replace(large, id=f"e{number:03}", state=ProposalState.STALE) for number in range(130)]
    for each in ended:
        await gate.put(keys.proposal(each.id), each)
    assert isinstance(await gate.scale(5, BEN, propose=True), Refused)
    await Trimmer(gate.desk).trim(fence(gate))
    assert isinstance(await gate.scale(5, BEN, propose=True), Proposed)
    kept = [item.key for item in gate.state.items(f"{keys.PROPOSALS}e")]
    assert kept == [keys.proposal(each.id) for each in ended[-len(kept) :]]
    assert len(kept) > 50


async def test_bounds_that_take_instances_away_count_as_scaling_in(gate: GateOnHand) -> None:
    """Else a change of bounds would be the way past limits on flapping and disruption."""
    await gate.scale(6, CLEO)
    submission = Submission(operation="slice.set-bounds", request={"slice": "orders", "min": 0, "max": 5}, actor=ANNA)
    planned = await gate.gate.submit(msgspec.structs.replace(submission, dry_run=True))
    assert isinstance(planned, Planned)
    assert "the opposite was done" in planned.plan.rule


async def test_a_long_diff_is_cut_for_people_and_votes_still_fit(gate: GateOnHand) -> None:
    rows = tuple(FieldChange(key=f"slice-target/s{number}/1", path="wanted", after="x" * 400) for number in range(200))
    short = shortened(rows)
    assert len(msgspec.json.encode(short)) < 13 * 1024
    assert short[-1].after == f"{200 - len(short) + 1} more"
    proposal = gate.proposal(proposal_of(await gate.scale(6, model(ANNA))))
    for number in range(VOTES_MAX):
        voter = person(f"{number}" * 64, owns=("slice:" + "x" * 99,) * 99)
        vote = Vote(voter=voter, approve=True, reason="\x01" * 1_000, at_unix_ms=1)
        proposal = with_vote(proposal, vote)
    assert len(encode(proposal)) < 12 * 1024 + 4_096


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_nothing_that_ended_leaves_a_lease_behind(gate: GateOnHand) -> None:
    before = await leases(gate)
    rejected = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.cast(rejected, BEN, approve=False, reason="no")
    withdrawn = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.withdraw(withdrawn, ANNA, reason="")
    stale = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.cast(stale, BEN, approve=True, reason="")
    await gate.scale(5, CLEO)
    assert (await gate.settle(stale)).state is ProposalState.STALE
    assert await leases(gate) == before
    assert not gate.state.items(keys.PROPOSALS_LIVE)
    assert not gate.state.items(keys.PROPOSALS_OPEN)


async def test_consent_that_is_not_needed_any_more_does_no_harm(gate: GateOnHand) -> None:
    await gate.store.txn((), [Put(key="freeze/cluster", value=b"sale")])
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    for voter in (BEN, CLEO):
        await gate.votes.cast(identity, voter, approve=True, reason="")
    await gate.store.txn((), [Delete(key="freeze/cluster")])
    assert (await gate.settle(identity)).state is ProposalState.APPLIED


async def test_more_consent_than_was_given_makes_it_stale(gate: GateOnHand) -> None:
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.store.txn((), [Put(key="incident/slice:orders", value=b"errors"), Put(key="freeze/cluster", value=b"")])
    assert (await gate.settle(identity)).state is ProposalState.STALE


async def test_what_was_concluded_from_an_old_picture_ends_nothing(gate: GateOnHand) -> None:
    """The cache may lag: an end is written only if everything it was concluded from still stands."""
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.scale(5, CLEO)
    old = OldPicture(gate)
    await gate.scale(4, CLEO)
    gate.desk.state = old
    ended = await gate.settle(identity)
    assert ended.state is ProposalState.APPLIED


class OldPicture:
    """A cache that is behind until it is asked to be current."""

    def __init__(self, gate: GateOnHand) -> None:
        self._now = gate.state
        self._items = {item.key: item for item in gate.state.items("")}
        self._old = True
        self.revision = gate.state.revision

    def get(self, key):  # type: ignore[no-untyped-def]
        return self._items.get(key) if self._old else self._now.get(key)

    def items(self, prefix):  # type: ignore[no-untyped-def]
        if not self._old:
            return self._now.items(prefix)
        return [item for key, item in sorted(self._items.items()) if key.startswith(prefix)]

    async def confirmed(self):  # type: ignore[no-untyped-def]
        self._old = False
        return await self._now.confirmed()

    async def wait_for(self, revision):  # type: ignore[no-untyped-def]
        self._old = False


# -- the audit has all of it -------------------------------------------------------------------------------------------


async def test_every_refusal_is_audited_with_its_code(gate: GateOnHand) -> None:
    freeze = Put(key="freeze/cluster", value=b"sale")
    await gate.scale(6, ANNA, reason="x" * 1_001)
    await gate.gate.submit(Submission(operation="slice.scal", request={}, actor=ANNA))
    await gate.scale(6, person("vic", Role.VIEWER))
    await gate.scale(6, ANNA, if_match=1)
    await gate.scale(600, ANNA)
    await gate.store.txn((), [freeze])
    await gate.scale(6, ANNA, break_glass=True, reason="now")
    await gate.scale(6, ANNA, dry_run=True, if_match=1)
    assert all(each.summary and each.operation for each in await records(gate))
    found = [each.detail["code"] for each in await records(gate)]
    assert found == [
        "request_invalid",
        "operation_unknown",
        "refused_by_policy",
        "precondition_failed",
        "out_of_bounds",
        "break_glass_refused",
    ]


async def test_a_record_says_who_what_why_on_what_and_when(gate: GateOnHand) -> None:
    before = gate.state.revision
    applied = await gate.scale(6, ANNA, reason="guests", trace_id="t1", evidence=("log:7",))
    assert isinstance(applied, Applied)
    await gate.chain_all()
    chained = read_chained(gate.state.items(keys.AUDIT)[0].value)
    record = chained.record
    assert (record.revision_before, chained.revision) == (before, applied.revision)
    assert (record.actor.id, record.reason, record.trace_id) == ("anna", "guests", "t1")
    assert (len(record.effect), record.detail["evidence"]) == (64, ["log:7"])
    assert record.detail["inverse"] == msgspec.to_builtins(applied.inverse), "what undoes it is kept with it"


async def test_a_huge_refused_request_is_told_by_its_size(gate: GateOnHand) -> None:
    request = {"slice": "orders", "weights": {f"v{number}" * 20: number for number in range(4_000)}}
    refused = await gate.gate.submit(Submission(operation="slice.set-routing-weights", request=request, actor=ANNA))
    assert isinstance(refused, Refused)
    (record,) = await records(gate)
    assert record.request["slice"] == "orders"
    assert "characters" in str(record.request["weights"])


async def test_ended_votes_are_told_why(gate: GateOnHand) -> None:
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    gate.pass_time(16 * 60_000)
    with pytest.raises(ProposalEnded, match="expired"):
        await gate.votes.cast(identity, BEN, approve=True, reason="")
    told = await records(gate)
    assert [each.kind for each in told] == ["proposed", "vote_refused"]
    assert (told[1].operation, told[1].subject) == ("slice.scale", "slice:orders")
    assert told[1].summary == f"not voted: {told[0].summary}"


async def test_changes_of_a_subject_are_kept_newest_last(gate: GateOnHand) -> None:
    for number in range(20):
        await gate.scale(4 + number % 2, CLEO)
    item = gate.state.get(keys.recent("slice:orders"))
    assert item is not None
    changes = msgspec.json.decode(item.value, type=RecentChanges).changes
    assert len(changes) == 16
    assert [each.audit for each in changes] == sorted(each.audit for each in changes)
