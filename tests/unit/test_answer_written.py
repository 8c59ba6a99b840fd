"""An answer while it is written: words are told as soon as each is found in what its claim stands on, not before."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_layer.chat.events import Anew, Done, Event, Text, Written
from llm_layer.claims.answer import Claim
from llm_layer.claims.verify import Ground, problems_of_claim
from llm_layer.claims.written import sure_parts
from llm_layer.providers.messages import Ask, Reply
from llm_layer.providers.provider import Heard
from tests.unit.scripted_model import Scripted, claims, turned
from tests.unit.test_graph_chat import RIGHT, STATUS_CALL, WRONG, world

GROUND = Ground(
    shown={"E1": '{"slice":"orders","serving":2,"wanted":3,"p95_ms":912.4,"calls":5000}'}, names=("orders", "n1")
)
SAID = "`orders` has 2 of 3 instances; p95 is 912 ms, with 5 k calls on n1."


def answer(*texts: str, evidence: str = "E1") -> str:
    rows = [{"evidence": [evidence], "text": each} for each in texts]
    return json.dumps({"claims": rows, "plots": [], "cards": []})


def sure(raw: str) -> list[tuple[str, bool]]:
    return [(each.text, each.whole) for each in sure_parts(raw, GROUND)]


def test_every_beginning_of_a_right_answer_is_told_in_growing_parts() -> None:
    whole = answer(SAID, 'It says "no" \\ ☃ twice.')
    told = ""
    for at in range(len(whole)):
        for text, _ in sure(whole[:at])[:1]:
            assert text.startswith(told)
            told = text
    assert told == SAID
    assert sure(whole) == [(SAID, True), ('It says "no" \\ ☃ twice.', True)]


def test_a_word_that_may_still_go_on_is_waited_for() -> None:
    begun = answer("`orders` has 2 of 3 instances")[: -len('"}], "plots": [], "cards": []}')]
    assert sure(begun[: begun.index("instances")]) == [("`orders` has 2 of", False)]  # 3 may be 3 k, or 30
    assert sure(begun[: begun.index("ders`")]) == [("", False)]  # no half of a name
    assert sure(begun[: begun.index("3 inst")]) == [("`orders` has 2 of", False)]


@pytest.mark.parametrize(
    "wrong", ["There are 17 of them now.", "See `chekout` for more of it.", "Node n9 is down now."]
)
def test_what_does_not_hold_is_never_told_nor_what_comes_behind(wrong: str) -> None:
    whole = answer(SAID, wrong, SAID)
    shown = [text for at in range(len(whole) + 1) for text, _ in sure(whole[:at])]
    assert not [each for each in shown if "17" in each or "chekout" in each or "n9" in each]
    assert sure(whole) == [(SAID, True)]


def test_evidence_that_there_is_not_tells_nothing() -> None:
    assert sure(answer("It is well.", evidence="E7")) == []


WORDS = st.sampled_from(
    ["2", "3", "17", "912", "ms", "k", "GB", "%", "`orders`", "`nobody`", "n1", "n9", "is", "5", "1.", "12:", "2,5"]
)


@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(0, 200))
def test_whatever_is_written_all_that_is_told_of_it_is_verified(words: list[str], at: int) -> None:
    raw = answer(" ".join(words))
    for text, _ in sure(raw[: len(raw) - at % len(raw)]):
        assert not problems_of_claim(Claim(evidence=("E1",), text=text), GROUND)


class Streaming(Scripted):
    """Writes each reply in pieces."""

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        reply = await super().stream(ask, heard)
        for at in range(0, len(reply.text), 7):
            await heard.text(reply.text[at : at + 7])
        return reply


def shown(events: list[Event]) -> list[str]:
    """What a person has before them, event by event; taken back is empty."""
    now, found = "", []
    for each in events:
        if isinstance(each, Written):
            now += each.text
            found.append(now)
        elif isinstance(each, Anew):
            now = ""
            found.append(now)
    return found


def test_words_are_told_before_the_answer_is_whole() -> None:
    events = turned("hm", world(), Streaming([STATUS_CALL, RIGHT]))
    found = shown(events)
    assert found[-1] == "2 of 3 instances of `orders` serve."
    assert len(found) > 2
    kinds = [type(each) for each in events]
    assert kinds.index(Written) < kinds.index(Text)
    assert not any(isinstance(each, Anew) for each in events)


def test_an_answer_whose_later_claim_does_not_hold_is_taken_back_and_written_anew() -> None:
    half = claims(("2 of 3 instances of `orders` serve.", ["E1"]), ("17 do not.", ["E1"]))
    events = turned("hm", world(), Streaming([STATUS_CALL, half, RIGHT]))
    found = shown(events)
    assert "" in found
    assert found[-1] == "2 of 3 instances of `orders` serve."
    assert not any("17" in each for each in found)


def test_what_is_withheld_was_never_shown() -> None:
    """Two answers that do not hold: rules answer, and nothing wrong stands there."""
    events = turned("hm", world(), Streaming([STATUS_CALL, WRONG, WRONG]))
    assert not any("17" in each for each in shown(events))
    assert isinstance(events[-1], Done)
    assert events[-1].kind == "rules_after_model"
