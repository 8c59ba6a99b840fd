"""Turns, investigations and remedies through the makers' own clients, before a provider that follows a script."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import msgspec
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from evals.fake_provider.script import Called, Line, Seen
from llm_layer.chat.events import Card, Checked, Concluded, Done, Event, ProposalMade, Text
from llm_layer.providers.asking import Models
from tests.reason.provider_parts import CHEAP, KINDS, STRONG, provided
from tests.unit.scripted_model import UNSURE, World, at_once, of, told
from tests.unit.test_graph_chat import world as plain_world
from tests.unit.test_graph_investigate import SUPPOSED, world
from tests.unit.test_graph_remediate import Proposing

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
of_each = pytest.mark.parametrize("kind", KINDS)
STATUS = Line(calls=(Called(name="cluster_status"),))


def said(**answer: object) -> Line:
    return Line(says=msgspec.json.encode(answer).decode())


def answer(text: str, *evidence: str, cards: tuple[str, ...] = ()) -> Line:
    return said(claims=[{"text": text, "evidence": evidence}], plots=[], cards=cards)


def of_type(events: list[Event], kind: type) -> list[Event]:
    return [each for each in events if isinstance(each, kind)]


def words(events: list[Event]) -> str:
    return " ".join(each.text for each in events if isinstance(each, Text))


async def turn(
    kind: str, text: str, desk: World, lines: object, routing: object = UNSURE, cheap: str = STRONG
) -> tuple[list[Event], list[Seen]]:
    """lines: a script's, or what gives one for what is asked."""
    rest: Iterator[Line] = iter(lines) if isinstance(lines, list) else iter(())

    def script(seen: Seen) -> Line:
        return lines(seen) if callable(lines) else next(rest)

    async with provided(kind, script, cheap=cheap) as (ours, fake):
        saver = InMemorySaver()
        events = await told(text, desk, Models([ours], pause=at_once), routing, keeper=lambda: saver)  # type: ignore[arg-type]  # a routing
    return events, fake.seen


@of_each
async def test_a_question_is_answered_over_several_steps(kind: str) -> None:
    lines = [STATUS, answer("99 of 3 instances of `orders` serve.", "E1"), answer("2 of 3 instances serve.", "E1")]
    events, seen = await turn(kind, "how many orders are up", plain_world(), lines)
    assert words(events) == "2 of 3 instances serve."
    assert "cluster_status" in seen[0].tools
    assert '"evidence":"E1"' in seen[1].results[0].content
    assert "cannot be verified" in seen[2].said
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.answered_by, done.model, done.tokens > 0) == ("model", f"{kind} strong-1", True)


@of_each
async def test_a_change_becomes_a_card(kind: str) -> None:
    lines = [
        Line(calls=(Called(name="slice_scale", arguments={"slice": "orders", "instances": 5}),)),
        answer("See the card."),
    ]
    events, _ = await turn(kind, "5 of them will do", plain_world(), lines)
    card = of_type(events, Card)[0]
    assert isinstance(card, Card)
    assert card.request == {"slice": "orders", "instances": 5}


@of_each
async def test_a_cheap_model_points_at_a_choice_and_doubts_a_claim(kind: str) -> None:
    """Both models through each maker's client: what the cheap one is asked, and what comes of it."""

    def script(seen: Seen) -> Line:
        if "command" in seen.wanted:
            return said(command=1 if "5 of them" in seen.said else 0)
        if "doubts" in seen.wanted:
            return said(doubts=[{"claim": 1, "why": "overstated"}])
        return answer("2 of 3 instances serve.", "E1") if seen.results else STATUS

    scale = of("choices", "slice.scale", share=0.4, slice="orders", instances=5)
    events, seen = await turn(kind, "5 of them will do", plain_world(), script, scale, CHEAP)
    assert [each.model for each in seen] == [CHEAP]
    assert [each.request for each in events if isinstance(each, Card)] == [{"slice": "orders", "instances": 5}]
    events, seen = await turn(kind, "how many orders are up", plain_world(), script, scale, CHEAP)
    assert [each.model for each in seen] == [CHEAP, STRONG, STRONG, CHEAP]
    (found,) = [each for each in events if isinstance(each, Checked)]
    assert [(each.claim, each.why) for each in found.doubts] == [("2 of 3 instances serve.", "overstated")]
    assert (words(events), found.by) == ("2 of 3 instances serve.", f"{kind} {CHEAP}")


@of_each
async def test_a_cause_is_found_and_its_remedy_proposed(kind: str) -> None:
    """From a sentence to a proposal, through three graphs."""
    claim = {"text": "p95 of `orders` is 900 ms.", "evidence": ["E9"]}

    def script(seen: Seen) -> Line:
        if "hypotheses that exclude" in seen.system:
            return said(hypotheses=[SUPPOSED])
        if "this one hypothesis" in seen.system:
            return said(verdict="supports", claims=[claim])
        if "Task: conclude" in seen.system:
            found = {"roots": ["slice:ledger"], "mechanism": "dependency_slow", "confidence": 0.7}
            return said(**found, claims=[claim], gaps=[])
        if "choose what mends" in seen.system:
            if not seen.results:
                return Line(calls=(Called(name="slice_restart", arguments={"slice": "ledger"}),))
            return said(cards=[msgspec.json.decode(seen.results[0].content)["card"]], why="it was quick before")
        if not seen.results:
            return Line(calls=(Called(name="investigate", arguments={"slice": "orders"}),))
        if "conclusion" in seen.results[0].content:
            return Line(calls=(Called(name="remediate", arguments={"conclusion": "C1"}),))
        return answer("A restart of `ledger` is proposed.")

    desk = Proposing(world().answers)
    events, _ = await turn(kind, "make orders quick again", desk, script)
    proposal = of_type(events, ProposalMade)[0]
    assert isinstance(proposal, ProposalMade)
    assert (proposal.id, proposal.operation, proposal.request) == ("p1", "slice.restart", {"slice": "ledger"})
    assert desk.made["t1/1/0"][2].reason.startswith("dependency_slow: ")
    assert "is proposed" in words(events)
    assert not of_type(events, Card)


@of_each
async def test_why_questions_are_investigated_at_once(kind: str) -> None:
    def script(seen: Seen) -> Line:
        if "hypotheses that exclude" in seen.system:
            return said(hypotheses=[])
        found = {"roots": ["slice:ledger"], "mechanism": "dependency_slow", "confidence": 0.7, "gaps": []}
        return said(**found, claims=[{"text": "`ledger` is slow.", "evidence": ["E9"]}])

    events, _ = await turn(
        kind, "why are orders slow?", world(), script, of("question", "slice.explain", slice="orders")
    )
    found = of_type(events, Concluded)[0]
    assert isinstance(found, Concluded)
    assert (found.roots, found.by) == (("slice:ledger",), "model")


BEHIND_A_CALL = "cut for length behind a call"
FAULTS = {
    "cut amid a call": [Line(calls=(Called(name="cluster_status"),), fault="cut"), STATUS],
    "busy": [Line(fault="status", status=429, retry_after="1"), STATUS],
    "failing": [Line(fault="status", status=503), STATUS],
    "hangs up": [Line(fault="hang_up"), STATUS],
    "malformed arguments": [Line(calls=(Called(name="cluster_status", raw='{"a": '),)), STATUS],
    "a tool that there is not": [Line(calls=(Called(name="shell", arguments={"command": "ls"}),)), STATUS],
    "does not fit": [STATUS, Line(fault="overflow")],
    "cut for length": [STATUS, Line(says='{"claims": [', ending="length")],
    BEHIND_A_CALL: [Line(calls=(Called(name="cluster_status"),), ending="length"), STATUS],
}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [*zip(FAULTS, cycle(KINDS), strict=False), *((BEHIND_A_CALL, kind) for kind in KINDS[:2])],
)
async def test_what_goes_wrong_once_is_got_over(fault: str, kind: str) -> None:
    lines = [*FAULTS[fault], answer("2 of 3 instances serve.", "E1")]
    events, _ = await turn(kind, "how many orders are up", plain_world(), lines)
    assert words(events) == "2 of 3 instances serve."


LASTING = (
    Line(fault="status", status=500),
    Line(fault="status", status=401),
    Line(ending="refused"),
    Line(says="prose"),
    Line(calls=(Called(name="cluster_status", raw="{"),)),
    answer("`ghost` is down.", "E77"),
)


@pytest.mark.parametrize(("line", "kind"), [*zip(LASTING, cycle(KINDS), strict=False)])
async def test_what_goes_on_going_wrong_is_left_to_rules(line: Line, kind: str) -> None:
    events, seen = await turn(kind, "how many orders are up", plain_world(), lambda _seen: line)
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.answered_by, done.kind) == ("rules", "rules_after_model")
    assert len(seen) <= 4
