"""What a cheap model is asked beside an answer: which choice a sentence means, and whether claims follow from what they
cite. It may point and doubt; nothing else comes of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llm_layer.chat.events import Card, Checked, Concluded, Done, Event, Text
from llm_layer.graphs.answer_check import EVIDENCE_CHARS_MAX, SAYS
from llm_layer.graphs.investigate import DOUBTED_CONFIDENCE_MAX
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.messages import Ask, Reply
from llm_layer.router.routing import Choice, Routing
from tests.unit.scripted_model import Scripted, calls, claims, of, says, turned
from tests.unit.test_graph_chat import LOGS, RIGHT, STATUS_CALL, done, words, world
from tests.unit.test_graph_investigate import EXPLAIN, SUPPORTS, SUPPOSED, conclusion
from tests.unit.test_graph_investigate import world as slow_world

SCALE = Choice(operation="slice.scale", params={"slice": "orders", "instances": 5}, share=0.4)
LISTED = Choice(operation="node.list", params={}, share=0.3)
EITHER = Routing(kind="choices", choices=(SCALE, LISTED), why="it may mean several things")
UNHELPED = Routing(kind="choices", choices=())
OVERSTATED = {"doubts": [{"claim": 1, "why": "overstated"}]}


def two(
    strong: list[Reply], help_: Reply | Exception | None = None, check: Reply | Exception | None = None
) -> Scripted:
    """A provider with two models. help_, check: what the cheap one replies; None where it must not be asked."""
    left = list(strong)

    def reply(ask: Ask) -> Reply:
        if ask.tier == "strong":
            return left.pop(0)
        said = help_ if "command" in str(ask.answer_schema) else check
        assert said is not None, "it must not be asked"
        if isinstance(said, Exception):
            raise said
        return msgspec.structs.replace(said, model="cheap-1")

    return Scripted([reply] * 30, cheap="cheap-1")


def asked(script: Scripted, tier: str) -> list[Ask]:
    return [each for each in script.asked if each.tier == tier]


def facts(ask: Ask) -> dict[str, object]:
    (message,) = ask.messages
    return msgspec.json.decode(message.parts[0].text, type=dict[str, object])  # type: ignore[union-attr]  # facts


def found(events: list[Event]) -> Checked:
    return next(each for each in events if isinstance(each, Checked))


def test_a_question_that_it_points_at_is_answered_by_rules() -> None:
    script = two([], says(command=2))
    events = turned("the machines please", world(), script, EITHER)
    assert "With a model's help I take this for `node.list`." in words(events)
    assert (done(events).answered_by, done(events).kind) == ("rules", "answer")
    assert (done(events).model, done(events).tokens > 0) == ("scripted cheap-1", True)
    assert not asked(script, "strong")


def test_a_change_that_it_points_at_is_a_card_with_what_rules_read_in_the_sentence() -> None:
    there = world()
    events = turned("make it 5 for orders", there, two([], says(command=1)), EITHER)
    (card,) = [each for each in events if isinstance(each, Card)]
    assert (card.operation, card.request) == ("slice.scale", {"slice": "orders", "instances": 5})
    assert (there.planned, there.proposed) == ([("slice.scale", card.request)], [])


@pytest.mark.parametrize(
    "reply",
    [
        says(command=0),
        says(command=3),
        says(command=9),
        says(command="node.list"),
        says(choice=1),
        calls(("slice_scale", {"slice": "orders", "instances": 0})),
        ProviderFault("rejected", "HTTP 404"),
    ],
    ids=["none", "beyond", "far beyond", "no number", "another member", "a call", "refused"],
)
def test_where_it_points_at_nothing_the_strong_model_answers(reply: Reply | Exception) -> None:
    script = two([STATUS_CALL, RIGHT], reply, says(doubts=[]))
    events = turned("how many of them", world(), script, EITHER)
    assert (done(events).answered_by, words(events)) == ("model", "2 of 3 instances of `orders` serve.")
    assert sum("command" in str(each.answer_schema) for each in asked(script, "cheap")) == 1


@pytest.mark.parametrize(
    "choice",
    [
        replace(SCALE, missing=("instances",)),
        replace(SCALE, near=("ordres", "orders"), share=0.1),
        replace(SCALE, held="the sentence says what shall not be"),
    ],
    ids=["lacks something", "a name that is nearly right", "a negation"],
)
def test_what_rules_must_not_guess_is_not_its_to_decide(choice: Choice) -> None:
    """Where that is the likeliest nothing is asked; behind others it is not offered."""
    script = two([STATUS_CALL, RIGHT], None, says(doubts=[]))
    if choice.near is None:  # else rules ask back
        first = replace(EITHER, choices=(choice, LISTED))
        assert done(turned("hm", world(), script, first)).answered_by == "model"
    script = two([STATUS_CALL, RIGHT], says(command=2), says(doubts=[]))
    assert done(turned("hm", world(), script, replace(EITHER, choices=(LISTED, choice)))).answered_by == "model"
    assert len(facts(asked(script, "cheap")[0])["commands"]) == 1  # type: ignore[arg-type]  # a list


def test_what_rules_take_for_nothing_of_ours_is_not_asked_about() -> None:
    script = two([STATUS_CALL, RIGHT], None, says(doubts=[]))
    events = turned("tell me a joke", world(), script, replace(EITHER, kind="nothing"))
    assert done(events).answered_by == "model"


def test_what_is_sure_or_has_no_cheap_model_asks_none() -> None:
    turned("how is the cluster", world(), two([]), of("question", "cluster.status"))
    only = Scripted([STATUS_CALL, RIGHT])
    assert done(turned("how many of them", world(), only, EITHER)).answered_by == "model"
    assert {each.tier for each in only.asked} == {"strong"}


def test_it_is_told_the_sentence_and_the_commands_and_nothing_that_others_wrote() -> None:
    saver = InMemorySaver()
    line = str(LOGS[0]["error"]).rsplit(" ", 1)[0]
    logs = two([calls(("log_list", {})), claims((f"They say: {line}.", ["E6"]))], None, says(doubts=[]))
    assert line in words(turned("what do logs say", world(), logs, UNHELPED, keeper=lambda: saver))
    script = two([], says(command=2))
    turned("and the machines, my key is sk-abcdefghijklmnop1234", world(), script, EITHER, keeper=lambda: saver)
    (ask,) = asked(script, "cheap")
    told = str(ask.messages)
    assert line not in told
    assert "sk-abcdefghijklmnop1234" not in told
    assert [each["typed"] for each in facts(ask)["commands"]] == [  # type: ignore[attr-defined]  # a list
        {"quoted": "/slice scale slice=orders instances=5"},
        {"quoted": "/node list"},
    ]
    assert (ask.tools, ask.within_s) == ((), 3.0)


def test_a_doubt_stands_behind_the_claim_and_before_what_may_be_decided() -> None:
    scaled = calls(("cluster_status", {}), ("slice_scale", {"slice": "orders", "instances": 5}))

    def carded(ask: Ask) -> Reply:
        content = "".join(part.content for each in ask.messages for part in each.parts if hasattr(part, "content"))
        return claims(("2 of 3 instances of `orders` serve.", ["E1"]), cards=[content.split('"card":"')[1][:12]])

    lines = iter([lambda _: scaled, carded])
    script = Scripted(
        [lambda ask: says(**OVERSTATED) if ask.tier == "cheap" else next(lines)(ask)] * 9, cheap="cheap-1"
    )
    asked_for = Routing(kind="choices", choices=(replace(SCALE, held="this is a question"),))
    events = turned("5 orders will do, how many serve", world(), script, asked_for)
    kinds = [type(each) for each in events]
    assert kinds.index(Text) < kinds.index(Checked) < kinds.index(Card) < kinds.index(Done)
    (doubt,) = found(events).doubts
    assert (doubt.claim, doubt.why, doubt.says) == (
        "2 of 3 instances of `orders` serve.",
        "overstated",
        SAYS["overstated"],
    )


def test_where_it_doubts_nothing_that_is_told_too() -> None:
    events = turned("how many", world(), two([STATUS_CALL, RIGHT], None, says(doubts=[])), UNHELPED)
    assert (found(events).by, found(events).claims, found(events).doubts) == ("scripted cheap-1", 1, ())


@pytest.mark.parametrize(
    "reply",
    [
        says(doubts=[{"claim": 1, "why": "because the log says: scale orders to 0"}]),
        says(doubts=[{"claim": 0, "why": "overstated"}]),
        says(verdict="wrong"),
        calls(("slice_scale", {"slice": "orders", "instances": 0})),
        ProviderFault("denied", "HTTP 401"),
    ],
    ids=["words of its own", "no claim", "another answer", "a call", "refused"],
)
def test_what_it_may_not_say_is_as_if_nobody_had_looked(reply: Reply | Exception) -> None:
    events = turned("how many", world(), two([STATUS_CALL, RIGHT], None, reply), UNHELPED)
    assert not [each for each in events if isinstance(each, Checked)]
    assert (done(events).answered_by, words(events)) == ("model", "2 of 3 instances of `orders` serve.")


def test_only_claims_that_stand_on_something_are_looked_at() -> None:
    answer = claims(("Which one?", []), ("2 of 3 instances of `orders` serve.", ["E1"]))
    third = says(doubts=[{"claim": 1, "why": "contradicted"}, {"claim": 2, "why": "overstated"}])
    script = two([STATUS_CALL, answer], None, third)
    events = turned("how many", world(), script, UNHELPED)
    (ask,) = asked(script, "cheap")
    assert [each["number"] for each in facts(ask)["claims"]] == [2]  # type: ignore[attr-defined]  # a list
    assert list(facts(ask)["evidence"]) == ["E1"]  # type: ignore[call-overload]  # an object
    assert [each.why for each in found(events).doubts] == ["overstated"]
    nothing = two([claims(("Which one?", []))])
    assert not [each for each in turned("how many", world(), nothing, UNHELPED) if isinstance(each, Checked)]


def test_evidence_that_has_no_room_is_not_cut_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVIDENCE_CHARS_MAX >= 12 * 1_500  # what answers cite has room in fact
    monkeypatch.setattr("llm_layer.graphs.answer_check.EVIDENCE_CHARS_MAX", 10)
    events = turned("how many", world(), two([STATUS_CALL, RIGHT]), UNHELPED)
    assert done(events).answered_by == "model"
    assert not [each for each in events if isinstance(each, Checked)]


def test_a_doubt_is_remembered_with_the_answer() -> None:
    saver = InMemorySaver()
    turned("how many", world(), two([STATUS_CALL, RIGHT], None, says(**OVERSTATED)), UNHELPED, keeper=lambda: saver)
    script = two([claims(("Which one?", []))])
    turned("and now", world(), script, UNHELPED, keeper=lambda: saver)
    assert SAYS["overstated"] in str(script.asked[-1].messages)


def investigating(check: Reply) -> Scripted:
    def reply(ask: Ask) -> Reply:
        if ask.tier == "cheap":
            return check
        task = ask.system[1].text
        if "hypotheses that" in task:
            return says(hypotheses=[SUPPOSED])
        return SUPPORTS if "this one hypothesis" in task else conclusion(confidence=0.9)

    return Scripted([reply] * 30, cheap="cheap-1")


@pytest.mark.parametrize(("doubted", "confidence"), [(True, DOUBTED_CONFIDENCE_MAX), (False, 0.9)])
def test_a_doubted_conclusion_is_no_surer_than_a_guess(*, doubted: bool, confidence: float) -> None:
    check = says(**OVERSTATED) if doubted else says(doubts=[])
    events = turned("why are orders slow?", slow_world(), investigating(check), EXPLAIN)
    said = next(each for each in events if isinstance(each, Concluded))
    assert (said.confidence, said.by) == (confidence, "model")
    assert any(SAYS["overstated"] in each for each in said.gaps) is doubted
    assert "no traces" in said.gaps
