"""Earlier conversations at a terminal: which there are, and one of them as it went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

import msgspec

from agent_api.cli.paint import one_line, painted
from agent_api.cli.table import Row, moment, show
from agent_api.cli.turn_view import TurnView
from agent_api.client.client import Client
from controllers.conversations.queries import CardShown, ConversationPage, ConversationRow, ConversationShown, TurnShown

LISTED_MAX: Final = 20
COLUMNS: Final = (("last", "last"), ("turns", "turns"), ("begun with", "title"), ("id", "id"))


def earlier(client: Client, *, limit: int = LISTED_MAX) -> tuple[ConversationRow, ...]:
    """One's own, the newest first."""
    page = client.ask("conversation.list", {"limit": limit})
    assert isinstance(page, ConversationPage)
    return page.items


def show_earlier(rows: Sequence[ConversationRow]) -> None:
    if not rows:
        print("you have had no conversation yet")
        return
    plain = [
        {"last": moment(each.last_unix_ms), "turns": each.turns, "title": each.title, "id": each.id} for each in rows
    ]
    show(cast(list[Row], plain), COLUMNS)
    print(painted("go on with one: aether chat --resume ID", "dim"))


def show_conversation(client: Client, identity: str) -> int:
    """As it went, with what became of its cards. Gives the last turn's number. Raises ApiRefused."""
    number = 0
    for part in _parts(client, identity):
        _show_turns(part.turns)
        number = part.turns[-1].number if part.turns else number
        last = part
    _show_cards(last.cards)
    return number


def show_between(client: Client, identity: str, after: int, before: int) -> None:
    """What came in without being said here: a remedy that went on, a model that is back. Raises ApiRefused."""
    print(painted("meanwhile:", "dim"))
    for part in _parts(client, identity, after):
        _show_turns([each for each in part.turns if each.number < before])


def show_shown(answer: Row) -> None:
    """One answer to conversation.show."""
    shown = msgspec.convert({name: value for name, value in answer.items() if name != "stale"}, ConversationShown)
    _show_turns(shown.turns)
    _show_cards(shown.cards)
    if shown.more:
        print(painted(f"{shown.more} more: --after {shown.turns[-1].number if shown.turns else 0}", "dim"))


def _show_turns(turns: Sequence[TurnShown]) -> None:
    for turn in turns:
        print(f"{painted('>', 'bold')} {one_line(turn.text)}")
        view = TurnView()
        for event in turn.events:
            view.show(cast(Row, event))
        if turn.state != "ended":
            print(painted("the answer broke off" if turn.state == "broken" else "it is being answered", "yellow"))


def _show_cards(cards: Sequence[CardShown]) -> None:
    for card in cards:
        named = f" proposal {card.proposal}" if card.proposal else ""
        print(f"{painted(card.state or 'gone', 'bold')}  {one_line(card.summary)} (by {one_line(card.by)}){named}")


def _parts(client: Client, identity: str, after: int = 0) -> Iterator[ConversationShown]:
    while True:
        shown = client.ask("conversation.show", {"id": identity, "after": after})
        assert isinstance(shown, ConversationShown)
        yield shown
        if not shown.more or not shown.turns:
            return
        after = shown.turns[-1].number
