"""Whose word counts for a proposal, and whose does not, whatever keys, links and roles they come with."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.errors import VoteRefused
from controllers.gate.proposals import ProposalState
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Refused, Submission
from runtime.security.keyring import Keyring
from runtime.security.principals import PrincipalRecord
from tests.unit.gate_parts import GateOnHand, model, person, proposal_of

pytestmark = pytest.mark.anyio

ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo", Role.ADMIN)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


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
