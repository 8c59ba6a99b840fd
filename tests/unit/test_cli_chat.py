"""The conversation at a terminal: what a person's word does, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agent_api.cli.chat import Conversation
from agent_api.cli.chat_input import LineReader
from agent_api.cli.turn_view import TurnView
from agent_api.client.requests import ChangeOptions
from agent_api.client.sse import Event
from controllers.gate.errors import ProposalNotFound
from controllers.gate.proposals import Proposal
from runtime.operations.dispatch import Planned, PlanView
from runtime.operations.plan import BlastRadius

PLAN = {
    "summary": "orders: 3 -> 5 instances",
    "diff": [],
    "blast": {},
    "decision": "act",
    "gate_class": "G0",
    "rule": "low risk",
    "revision": 42,
}
CARD: dict[str, object] = {
    "type": "card",
    "id": "card1",
    "operation": "slice.scale",
    "request": {"slice": "orders", "instances": 5},
    "command": "/slice scale slice=orders instances=5",
    "plan": PLAN,
}
LOOKED: dict[str, object] = {
    "type": "looked",
    "evidence": {"id": "E1", "operation": "slice.show", "request": {"slice": "orders"}, "revision": 41},
}
BEGUN: dict[str, object] = {"type": "begun", "conversation": "c7", "number": 1}
CHOICES: dict[str, object] = {
    "type": "choices",
    "why": "it may mean several things",
    "teachable": "diet for SLICE",
    "options": [
        {"operation": "slice.scale", "say": "/slice scale slice=orders", "changes": True, "missing": ["instances"]},
        {"operation": "slice.show", "say": "/slice show slice=orders", "changes": False},
    ],
}


class HandClient:
    """Answers each sentence with the next of its answers; notes what is said and submitted."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self._answers = list(answers)
        self.said: list[str] = []
        self.conversations: list[str] = []
        self.votes: list[tuple[str, str, str]] = []
        self.submitted: list[tuple[str, dict[str, object], ChangeOptions]] = []

    def say(self, text: str, *, conversation: str = "") -> Iterator[Event]:
        self.said.append(text)
        self.conversations.append(conversation)
        for each in (BEGUN, LOOKED, self._answers.pop(0)) if self._answers else ():
            yield Event(id="", name=str(each["type"]), data=each)

    def decide(self, identity: str, verb: str, reason: str = "") -> Proposal:
        self.votes.append((identity, verb, reason))
        raise ProposalNotFound(f"there is no proposal {identity}")

    def submit(self, operation: str, members: dict[str, object], options: ChangeOptions) -> Planned:
        self.submitted.append((operation, members, options))
        view = PlanView(
            operation=operation,
            subject="slice:orders",
            summary="done",
            diff=(),
            blast=BlastRadius(),
            inverse=None,
            estimated_ms=0,
            gate_class="G0",
            decision="act",
            rule="",
            approvers="",
            effect="",
            revision=1,
        )
        return Planned(plan=view)


def talked(client: HandClient, words: list[str] | None, *, lines: tuple[str, ...] = ("diet for orders",)) -> HandClient:
    ask: Callable[[str], str] | None = None
    if words is not None:
        left = iter(words)
        ask = lambda _prompt: next(left, "")  # noqa: E731
    Conversation(client, ask).run(iter(lines))  # type: ignore[arg-type]  # speaks alike
    return client


@pytest.mark.parametrize(("word", "proposes"), [("a", False), ("p", True)])
def test_a_card_is_sent_as_it_was_shown_and_only_if_nothing_changed_since(word: str, proposes: bool) -> None:
    client = talked(HandClient(CARD), [word])
    operation, members, options = client.submitted[0]
    assert (operation, members) == ("slice.scale", {"slice": "orders", "instances": 5})
    assert (options.propose, options.if_match) == (proposes, 42)
    assert options.evidence == ("slice.show slice=orders at revision 41",)


@pytest.mark.parametrize("word", ["", "n", "yes", "5", "A card"])
def test_any_other_word_makes_nothing(word: str) -> None:
    """Only the one letter that was asked for counts."""
    assert talked(HandClient(CARD), [word]).submitted == []


def test_where_nobody_can_be_asked_nothing_is_made() -> None:
    assert talked(HandClient(CARD), None).submitted == []


def test_a_card_that_would_be_refused_is_not_asked_about() -> None:
    assert talked(HandClient({**CARD, "plan": None, "refused": "at most 6"}), ["a"]).submitted == []


def test_an_empty_line_ends_no_conversation() -> None:
    """Only the end of the input does, or a line that is broken off; one that is asked back means no."""

    def ended(words: list[str | type[BaseException]]) -> list[str]:
        left = iter(words)

        def prompt(_prompt: str) -> str:
            word = next(left)
            if isinstance(word, str):
                return word
            raise word

        return list(LineReader(prompt).lines("> "))

    assert ended(["", " how is it ", EOFError, "lost"]) == ["", "how is it"]
    assert ended(["", KeyboardInterrupt, "lost"]) == [""]
    assert talked(HandClient(LOOKED), None, lines=("", "how is it", "exit", "lost")).said == ["how is it"]


def test_a_choice_is_said_exactly_and_taught_when_wished() -> None:
    client = talked(HandClient(CHOICES, CARD), ["1", "y", "2", "n"])
    assert client.said == ["diet for orders", "/slice scale slice=orders instances=2"]
    taught, members, _ = client.submitted[0]
    assert (taught, members) == ("phrase.teach", {"sentence": "diet for SLICE", "operation": "slice.scale"})
    assert len(client.submitted) == 1


def test_a_choice_that_nobody_wants_remembered_teaches_nothing() -> None:
    client = talked(HandClient(CHOICES), ["2", "n"])
    assert (client.said, client.submitted) == (["diet for orders", "/slice show slice=orders"], [])


@pytest.mark.parametrize("word", ["", "0", "3", "first", "-1"])
def test_what_is_no_choice_ends_it(word: str) -> None:
    assert talked(HandClient(CHOICES), [word]).said == ["diet for orders"]


def test_what_is_said_next_stands_in_the_same_conversation_and_a_card_names_it() -> None:
    client = talked(HandClient(CARD, CARD), ["a", "n"], lines=("first", "second"))
    assert client.conversations == ["", "c7"]
    _, _, options = client.submitted[0]
    assert (options.conversation, options.card) == ("c7", "card1")


def test_a_vote_is_cast_and_not_said() -> None:
    """As the person, with their own key; the cluster has no way to vote for them."""
    client = talked(HandClient(), [], lines=("/approve p1", "/reject p2 too risky", "/withdraw p3"))
    assert client.votes == [("p1", "approve", ""), ("p2", "reject", "too risky"), ("p3", "withdraw", "")]
    assert client.said == []


def test_a_vote_on_nothing_is_said_like_anything_else() -> None:
    assert talked(HandClient(), [], lines=("/approve",)).said == ["/approve"]


def test_what_was_looked_at_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = TurnView()
    for each in (LOOKED, LOOKED, {"type": "text", "text": "three nodes"}):
        view.show(each)
    assert capsys.readouterr().out == "looked at E1 slice.show, E1 slice.show\nthree nodes\n"


def test_what_another_model_doubts_stands_out_and_nothing_in_it_steers_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checked = {"type": "checked", "by": "x cheap-1", "claims": 2, "doubts": []}
    doubt = {"claim": "it is\x1b[2J well\nnow", "why": "contradicted", "says": "what it cites says otherwise"}
    view = TurnView()
    for each in (checked, {**checked, "doubts": [doubt]}):
        view.show(each)
    held, *told = capsys.readouterr().out.splitlines()
    assert held == "x cheap-1 compared 2 of the claims with their evidence: no doubts"
    assert (len(told), "\x1b" in "".join(told)) == (2, False)
    assert told[0].startswith("doubted  it is")
    assert told[1] == "what it cites says otherwise (by x cheap-1)"


WRITTEN = (
    {"type": "written", "claim": 0, "text": "two of", "evidence": ["E1"], "ends": False},
    {"type": "written", "claim": 0, "text": " three", "evidence": ["E1"], "ends": True},
)


def test_an_answer_is_shown_while_it_is_written_and_not_twice(capsys: pytest.CaptureFixture[str]) -> None:
    view = TurnView(live=True)
    for each in (LOOKED, *WRITTEN, {"type": "text", "text": "two of three", "evidence": ["E1"]}):
        view.show(each)
    assert capsys.readouterr().out == "looked at E1 slice.show\ntwo of three [E1]\n"
    view = TurnView(live=True)
    for each in (WRITTEN[0], {"type": "anew"}, *WRITTEN, {"type": "text", "text": "two of three"}):
        view.show(each)
    assert capsys.readouterr().out.splitlines() == [
        "two of",
        "taken back, as not all of it holds; it is written again",
        "two of three [E1]",
    ]


def test_where_nobody_watches_only_the_whole_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    view = TurnView(live=False)
    for each in (*WRITTEN, {"type": "text", "text": "two of three"}):
        view.show(each)
    assert capsys.readouterr().out == "two of three\n"
