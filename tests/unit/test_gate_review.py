"""What a hostile reader of the gate would try: each of these once went wrong, or easily could."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from controllers.gate.audit import AuditRecord, read_chained
from controllers.gate.circumstances import RecentChanges, touched
from controllers.gate.errors import ProposalEnded, ProposalNotFound, ReviewNotFound, VoteRefused
from controllers.gate.policy import default_text
from controllers.gate.proposals import VOTES_MAX, ProposalState, Vote, shortened, with_vote
from controllers.gate.reviews import Review
from controllers.gate.trimming import Trimmer
from controllers.gate.uncut import WholeProposal, packed
from runtime.consensus.store import Delete, Put, Revision
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Guard, Outcome, Planned, Proposed, Refused, Submission
from runtime.operations.plan import Call, FieldChange, KeyChange, Plan
from runtime.security.keyring import Keyring
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import encode
from tests.unit.gate_parts import GateOnHand, model, person, target

pytestmark = pytest.mark.anyio

ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo", Role.ADMIN)
BOT = Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, is_agent=True)
GUARD = Guard(slice="orders", metric="errors_share", bound=0.05, window_s=300)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


def fence(gate: GateOnHand) -> Revision:
    found = gate.fence()
    assert found is not None
    return found


def proposal_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Proposed), outcome
    return outcome.proposal


async def records(gate: GateOnHand) -> list[AuditRecord]:
    await gate.chain_all()
    return [read_chained(item.value).record for item in gate.state.items(keys.AUDIT)]


async def leases(gate: GateOnHand) -> int:
    return len(gate.store.engine.machine.leases.all())


# -- who counts --------------------------------------------------------------------------------------------------------


async def test_nobody_behind_an_agent_counts_however_many_links_lie_between(gate: GateOnHand) -> None:
    playbook = Actor(kind=ActorKind.PLAYBOOK, id="playbook:calm", role=Role.OPERATOR, behind=ANNA)
    far = Actor(kind=ActorKind.MODEL, id="model:assistant", role=Role.OPERATOR, behind=playbook)
    identity = proposal_of(await gate.scale(6, far))
    for name in ("anna", "playbook:calm", "model:assistant"):
        with pytest.raises(VoteRefused):
            await gate.votes.cast(identity, person(name), approve=True, reason="")
    assert gate.proposal(identity).votes == ()


async def test_a_person_with_two_keys_is_one_person(gate: GateOnHand) -> None:
    identity = proposal_of(await gate.scale(6, model(ANNA), tainted=True))
    other_key = person("ben", Role.OPERATOR, owns=("slice:orders",))
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    after = await gate.votes.cast(identity, other_key, approve=True, reason="")
    assert (after.state, len(after.votes)) == (ProposalState.PENDING, 1)


async def test_a_key_that_was_cut_down_votes_no_further_than_it_reaches(gate: GateOnHand) -> None:
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    cut = msgspec.structs.replace(BEN, reads_only=("slice:tea",))
    with pytest.raises(VoteRefused):
        await gate.votes.cast(identity, cut, approve=True, reason="")


async def test_a_principal_marked_as_an_agent_neither_votes_nor_breaks_the_glass(gate: GateOnHand) -> None:
    robot = Actor(kind=ActorKind.PERSON, id="robot", role=Role.ADMIN, is_agent=True)
    await gate.principal(PrincipalRecord(id="robot", kind="person", role=Role.ADMIN, is_agent=True))
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    with pytest.raises(VoteRefused, match="only people"):
        await gate.votes.cast(identity, robot, approve=True, reason="")
    refused = await gate.scale(6, robot, break_glass=True, reason="now")
    assert isinstance(refused, Refused)
    assert refused.code == "break_glass_refused"


async def test_nobody_approves_what_they_may_not_do_themselves(gate: GateOnHand) -> None:
    await gate.principal(PrincipalRecord(id="ci", kind="automation", role=Role.ADMIN))
    ci = Actor(kind=ActorKind.AUTOMATION, id="ci", role=Role.ADMIN)
    identity = proposal_of(
        await gate.gate.submit(Submission(operation="node.shutdown", request={"node": "n3"}, actor=ci))
    )
    with pytest.raises(VoteRefused, match="role admin"):
        await gate.votes.cast(identity, BEN, approve=True, reason="")
    assert (await gate.votes.cast(identity, CLEO, approve=True, reason="")).state is ProposalState.APPROVED


async def test_a_voided_vote_does_not_come_back_with_the_role(gate: GateOnHand) -> None:
    identity = proposal_of(await gate.scale(6, model(ANNA), tainted=True))
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.votes.cast(identity, CLEO, approve=True, reason="")
    await gate.principal(PrincipalRecord(id="ben", kind="person", role=Role.VIEWER))
    assert (await gate.settle(identity)).state is ProposalState.PENDING
    await gate.principal(PrincipalRecord(id="ben", kind="person", role=Role.OPERATOR))
    again = await gate.votes.cast(identity, CLEO, approve=True, reason="again")
    assert (again.state, [vote.voter.id for vote in again.votes]) == (ProposalState.PENDING, ["cleo"])


async def test_the_person_that_a_key_acts_for_neither_approves_nor_lends_more_than_they_may(gate: GateOnHand) -> None:
    """Else whoever holds an agent's key would be two."""
    keyring = Keyring(gate.state)
    await gate.principal(PrincipalRecord(id="bot", kind="automation", role=Role.ADMIN, is_agent=True, acts_for="anna"))
    bot = keyring.principal("bot")
    assert bot is not None
    identity = proposal_of(await gate.scale(6, bot))
    with pytest.raises(VoteRefused, match="acts for"):
        await gate.votes.cast(identity, ANNA, approve=True, reason="")
    drain = await gate.gate.submit(Submission(operation="node.shutdown", request={"node": "n3"}, actor=bot))
    assert isinstance(drain, Refused)
    assert "anna is operator" in drain.detail
    await gate.votes.cast(identity, BEN, approve=True, reason="")
    await gate.principal(PrincipalRecord(id="anna", kind="person", role=Role.OPERATOR, disabled=True))
    assert keyring.principal("bot") is None
    assert (await gate.settle(identity)).state is ProposalState.REFUSED


async def test_a_role_that_was_revoked_meanwhile_lets_nothing_through(gate: GateOnHand) -> None:
    """The node that was asked may be behind; the leader looks again, and the change compares what it saw."""
    await gate.principal(PrincipalRecord(id="ben", kind="person", role=Role.VIEWER))
    await gate.principal(PrincipalRecord(id="cleo", kind="person", role=Role.ADMIN, disabled=True))
    for actor in (BEN, model(BEN), CLEO, person("nobody", Role.ADMIN)):
        refused = await gate.scale(6, actor)
        assert isinstance(refused, Refused)
        assert refused.code == "refused_by_policy"


async def test_an_automation_acts_for_a_person_that_is_known(gate: GateOnHand) -> None:
    def request(**members: str) -> Submission:
        return Submission(
            operation="principal.set",
            request={"id": "x", "kind": "automation", "role": "viewer", **members},
            actor=CLEO,
        )

    assert isinstance(await gate.gate.submit(request(acts_for="anna")), Applied)
    for refused in (request(acts_for="nobody"), request(acts_for="bot"), request(kind="person", acts_for="anna")):
        assert isinstance(await gate.gate.submit(refused), Refused)


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


# -- answers, guards, reviews ------------------------------------------------------------------------------------------


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


def scale_of(slice_name: str, instances: int, actor: Actor, **members: object) -> Submission:
    found = Submission(operation="slice.scale", request={"slice": slice_name, "instances": instances}, actor=actor)
    return msgspec.structs.replace(found, **members)


async def test_only_an_admin_of_all_or_of_that_subject_takes_back_what_others_proposed(gate: GateOnHand) -> None:
    """With a key that was cut to another slice, or after the role was taken, an admin is a stranger to it."""
    identity = proposal_of(await gate.scale(6, model(ANNA)))
    elsewhere = msgspec.structs.replace(CLEO, reads_only=("slice:tea",))
    with pytest.raises(VoteRefused):
        await gate.votes.withdraw(identity, elsewhere, reason="")
    await gate.principal(PrincipalRecord(id="cleo", kind="person", role=Role.OPERATOR))
    with pytest.raises(VoteRefused):
        await gate.votes.withdraw(identity, CLEO, reason="")
    await gate.principal(PrincipalRecord(id="cleo", kind="person", role=Role.ADMIN))
    assert (await gate.votes.withdraw(identity, CLEO, reason="")).state is ProposalState.WITHDRAWN
