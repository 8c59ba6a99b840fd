"""Earlier conversations at a terminal: which there are, how one went, and which one is gone on with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from agent_api.cli.chat import Conversation, _resumed
from agent_api.cli.chat_history import show_conversation, show_earlier, show_shown
from controllers.conversations.queries import CardShown, ConversationPage, ConversationRow, ConversationShown, TurnShown
from runtime.operations.operation import Result

ROW = ConversationRow(
    id="c7",
    title="why are orders slow?",
    owner="anna",
    created_unix_ms=1,
    last_unix_ms=2,
    turns=2,
    answering=False,
    tainted=False,
)


def turn(number: int, text: str, *events: dict[str, object], state: str = "ended") -> TurnShown:
    return TurnShown(
        number=number,
        by="anna",
        text=text,
        state=state,  # type: ignore[arg-type]  # one of the three
        began_unix_ms=1,
        ended_unix_ms=2,
        answered_by="rules",
        kind="answer",
        tainted=False,
        events=events,
        left_out=0,
    )


class HandClient:
    """Tells one turn a page, as if each were as long as a page may be."""

    def __init__(self, *turns: TurnShown) -> None:
        self._turns = turns

    def ask(self, operation: str, members: Mapping[str, object]) -> Result:
        if operation == "conversation.list":
            return ConversationPage(items=(ROW,) if self._turns else ())
        after = members["after"]
        assert isinstance(after, int)
        card = CardShown(
            id="x",
            outcome="proposed",
            state="pending",
            at_unix_ms=1,
            by="anna",
            summary="3 -> 5",
            proposal="p1",
            audit="",
        )
        return ConversationShown(
            id="c7",
            title=ROW.title,
            owner="anna",
            created_unix_ms=1,
            last_unix_ms=2,
            tainted=False,
            turns=self._turns[after : after + 1],
            cards=(card,),
            more=len(self._turns) - after - 1,
        )


TALK = HandClient(
    turn(1, "why are orders slow?", {"type": "text", "text": "stock is slow"}),
    turn(2, "and\nnow?", {"type": "text", "text": "looking"}, state="broken"),
)


def test_a_conversation_is_shown_as_it_went_over_all_its_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """What was said is one line each: it must not draw a terminal of its own."""
    show_conversation(TALK, "c7")  # type: ignore[arg-type]  # asks alike
    assert capsys.readouterr().out.splitlines() == [
        "> why are orders slow?",
        "stock is slow",
        "> and now?",
        "looking",
        "the answer broke off",
        "pending  3 -> 5 (by anna) proposal p1",
    ]


@pytest.mark.parametrize(("after", "number", "told"), [(1, 3, ["and now?"]), (2, 3, []), (0, 3, [])])
def test_turns_that_nobody_said_here_are_told_before_the_next_answer(
    after: int, number: int, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a model that is back, or a remedy that went on. Of a conversation that has just begun there is none."""
    talk = Conversation(TALK, None, "c7", after)  # type: ignore[arg-type]
    talk._begun("c7", number)
    assert [each.removeprefix("> ") for each in capsys.readouterr().out.splitlines() if each[:1] == ">"] == told
    assert talk._number == number


def test_the_newest_is_gone_on_with_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert _resumed(TALK, "") == ("c7", 2)  # type: ignore[arg-type]
    assert _resumed(TALK, "c3") == ("c3", 2)  # type: ignore[arg-type]
    assert "stock is slow" in capsys.readouterr().out


def test_a_new_one_begins_where_none_is_wished_or_there_is_none() -> None:
    assert _resumed(TALK, None) == ("", 0)  # type: ignore[arg-type]
    assert _resumed(HandClient(), "") == ("", 0)  # type: ignore[arg-type]


def test_the_list_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    show_earlier((ROW,))
    shown = capsys.readouterr().out
    assert "why are orders slow?" in shown
    assert "--resume ID" in shown
    show_earlier(())
    assert "no conversation yet" in capsys.readouterr().out


def test_one_that_is_asked_for_is_shown_alike(capsys: pytest.CaptureFixture[str]) -> None:
    answer = msgspec.to_builtins(TALK.ask("conversation.show", {"after": 0}))
    show_shown({"revision": 7, "stale": False, **answer})
    assert capsys.readouterr().out.splitlines() == [
        "> why are orders slow?",
        "stock is slow",
        "pending  3 -> 5 (by anna) proposal p1",
        "1 more: --after 1",
    ]
