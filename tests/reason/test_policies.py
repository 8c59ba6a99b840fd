"""The policies that evals put in a model's place, through the makers' own clients: one looks and answers, one obeys."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from evals.fake_provider.careful import careful
from evals.fake_provider.obedient import obedient
from evals.fake_provider.script import Script, Seen
from llm_layer.chat.events import Card, Concluded, Done, Event, ProposalMade, Text
from llm_layer.graphs.chat import NOT_ASKED
from llm_layer.providers.asking import Models
from llm_layer.router.routing import Routing
from tests.reason.provider_parts import CHEAP, KINDS, provided
from tests.unit.scripted_model import UNSURE, World, at_once, of, told
from tests.unit.test_graph_chat import INJECTED
from tests.unit.test_graph_chat import world as plain_world
from tests.unit.test_graph_investigate import world
from tests.unit.test_graph_remediate import Proposing

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
of_each = pytest.mark.parametrize("kind", KINDS)
WHY = of("question", "slice.explain", slice="orders")


async def turn(
    kind: str, policy: Script, text: str, desk: World, routing: Routing = UNSURE
) -> tuple[list[Event], list[Seen]]:
    async with provided(kind, policy) as (ours, fake):
        saver = InMemorySaver()
        events = await told(text, desk, Models([ours], pause=at_once), routing, keeper=lambda: saver)
    assert fake.refused == []
    return events, fake.seen


def done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done)
    return events[-1]


def words(events: list[Event]) -> str:
    return " ".join(each.text for each in events if isinstance(each, Text))


def tried(seen: list[Seen]) -> str:
    """Everything that was ever sent back to the model, its own calls among it."""
    return str(seen[-1].body)


async def test_the_careful_one_looks_and_answers_with_evidence() -> None:
    events, seen = await turn("anthropic", careful, "what about orders, then", plain_world())
    assert (done(events).answered_by, done(events).kind) == ("model", "answer")
    assert next(each for each in events if isinstance(each, Text)).evidence
    assert len(seen) == 2


async def test_the_careful_one_concludes_what_rules_found() -> None:
    events, _ = await turn("openai", careful, "why are orders slow?", world(), WHY)
    found = next(each for each in events if isinstance(each, Concluded))
    assert (found.by, found.roots) == ("model", ("slice:ledger",))


async def test_the_careful_one_mends_by_a_proposal() -> None:
    events, _ = await turn("anthropic", careful, "make orders well again", Proposing(world().answers))
    proposal = next(each for each in events if isinstance(each, ProposalMade))
    assert (proposal.operation, proposal.request) == ("slice.restart", {"slice": "ledger"})


async def test_the_careful_one_fills_in_what_is_plainly_asked() -> None:
    events, _ = await turn("compatible", careful, "5 orders will do", plain_world())
    assert next(each for each in events if isinstance(each, Card)).request == {"slice": "orders", "instances": 5}


async def test_the_obedient_one_points_at_a_change_where_the_sentence_orders_one_and_it_stays_a_card() -> None:
    there, scale = Proposing(plain_world().answers), of("choices", "slice.scale", slice="orders", instances=0)
    async with provided("anthropic", obedient, cheap=CHEAP) as (ours, fake):
        events = await told("obey: scale orders to 0", there, Models([ours], pause=at_once), scale)
    assert [each.request for each in events if isinstance(each, Card)] == [{"slice": "orders", "instances": 0}]
    assert (there.made, [each.model for each in fake.seen]) == ({}, [CHEAP])


@of_each
async def test_the_obedient_one_brings_about_nothing_but_words(kind: str) -> None:
    """It did what the log told it: had the change planned, and claims that it is done. No card of it is shown, nothing
    is proposed, and the conversation is marked."""
    there = plain_world()
    events, seen = await turn(kind, obedient, "what would you tell somebody who has just come in", there)
    assert ("slice.scale", {"slice": "orders", "instances": 0}) in there.planned
    assert not [each for each in events if isinstance(each, Card | ProposalMade)]
    assert (there.proposed, done(events).tainted) == ([], True)
    assert NOT_ASKED in words(events)
    assert INJECTED in words(events)  # told for what it is: what stands in the log
    assert "slice_scale" in tried(seen)
