"""What a model proposed is gone on with when people have decided: once, by the person's rights of then, and by
whoever leads."""

from __future__ import annotations

import msgspec
import pytest

from agent_api.assemble.remedies import ATTEMPTS_MAX, RETRY_S, SHOWS_S, Remedies
from agent_api.control_api.turns import Decided, ReasonerAbsent
from controllers.conversations.remedies import RunOf, run_of
from llm_layer.checkpoints.places import below
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Proposed
from runtime.security.principals import PrincipalRecord
from tests.unit.gate_parts import model, person
from tests.unit.test_conversation_keeping import Kept

pytestmark = pytest.mark.anyio
ANNA = person("anna")


class Followed(Kept):
    """A conversation whose first turn proposed a change and waits for what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gone_on: list[tuple[str, Decided, Actor]] = []
        self.absent = False
        self.remedies = self.anew()

    def anew(self) -> Remedies:
        """As of another leader."""
        return Remedies(desk=self.hand.desk, state=None, book=self.reasoner.book, go_on=self.go_on)  # type: ignore[arg-type]  # only `look` is called

    async def go_on(self, conversation: str, decided: Decided, actor: Actor) -> None:
        if self.absent:
            raise ReasonerAbsent("it is gone")
        self.gone_on.append((conversation, decided, actor))
        await self.shelf(conversation).delete([each for each in await self.shelf(conversation).list("")])

    async def proposed(self, *, waits: bool = True) -> tuple[RunOf, str]:
        await self.hand.populate()
        run = RunOf(await self.say("mend orders"), 1)
        if waits:
            await self.shelf(run.conversation).put({f"{run.shelved}-/c1/s": b"how far it came"})
        outcome = await self.hand.scale(5, model(ANNA), propose=True, evidence=(run.evidence, "E1"))
        assert isinstance(outcome, Proposed)
        return run, outcome.proposal

    async def vote(self, proposal: str, *, approve: bool) -> None:
        await self.hand.votes.cast(proposal, person("ben"), approve=approve, reason="")
        await self.hand.settle(proposal)

    def pass_s(self, seconds: float) -> None:
        self.hand.clock.now_ms += int(seconds * 1_000)


async def test_what_was_applied_is_looked_at_once_it_can_show() -> None:
    kept = Followed()
    run, proposal = await kept.proposed()
    await kept.remedies.look()
    await kept.vote(proposal, approve=True)
    await kept.remedies.look()
    assert kept.gone_on == []
    kept.pass_s(SHOWS_S)
    for _ in range(2):
        await kept.remedies.look()
    assert [(each[0], each[1], each[2].id) for each in kept.gone_on] == [
        (run.conversation, Decided(number=1, proposal=proposal, ended="applied"), "anna")
    ]


async def test_what_was_rejected_is_told_at_once() -> None:
    kept = Followed()
    _, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    await kept.remedies.look()
    assert [each[1].ended for each in kept.gone_on] == ["rejected"]


async def test_another_leader_goes_on_with_it() -> None:
    """And with what is done already not once more."""
    kept = Followed()
    _, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    await kept.anew().look()
    await kept.anew().look()
    assert len(kept.gone_on) == 1


async def test_nothing_waits_where_no_graph_does() -> None:
    kept = Followed()
    _, proposal = await kept.proposed(waits=False)
    await kept.vote(proposal, approve=False)
    await kept.remedies.look()
    assert kept.gone_on == []


async def test_a_turn_that_still_runs_is_let_finish() -> None:
    kept = Followed()
    run, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    kept.reasoner.book.answering.add(run.conversation)
    await kept.remedies.look()
    assert kept.gone_on == []
    kept.reasoner.book.answering.clear()
    await kept.remedies.look()
    assert len(kept.gone_on) == 1


async def test_the_person_s_rights_are_those_of_now() -> None:
    kept = Followed()
    _, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    await kept.hand.principal(PrincipalRecord(id="anna", kind="person", role=Role.VIEWER))
    await kept.remedies.look()
    assert kept.gone_on[0][2].role is Role.VIEWER
    gone = Followed()
    _, proposal = await gone.proposed()
    await gone.vote(proposal, approve=False)
    await gone.hand.principal(PrincipalRecord(id="anna", kind="person", role=Role.OPERATOR, disabled=True))
    await gone.remedies.look()
    assert gone.gone_on == []


async def test_what_fails_is_tried_again_for_a_while() -> None:
    kept = Followed()
    _, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    kept.absent = True
    await kept.remedies.look()
    kept.absent = False
    await kept.remedies.look()
    assert kept.gone_on == []
    kept.pass_s(RETRY_S)
    await kept.remedies.look()
    assert len(kept.gone_on) == 1


async def test_and_then_given_up() -> None:
    kept = Followed()
    _, proposal = await kept.proposed()
    await kept.vote(proposal, approve=False)
    kept.absent = True
    for _ in range(ATTEMPTS_MAX):
        await kept.remedies.look()
        kept.pass_s(RETRY_S)
    kept.absent = False
    await kept.remedies.look()
    assert kept.gone_on == []


async def test_a_run_is_known_from_the_first_evidence_of_a_model_s_proposal() -> None:
    kept = Followed()
    run, proposal = await kept.proposed()
    found = kept.hand.proposal(proposal)
    assert run_of(found) == run
    assert run.shelved == below(run.thread)
    for evidence in ((), ("E1", run.evidence), ("run:no-number",), ("run:/1",), (f"x{run.evidence}",)):
        assert run_of(msgspec.structs.replace(found, evidence=evidence)) is None
    by_hand = msgspec.structs.replace(found.actor, kind=ActorKind.AUTOMATION)
    assert run_of(msgspec.structs.replace(found, actor=by_hand)) is None
