"""Conversations in bounds: which go, what goes with them, and turns that a leader left unanswered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_api.control_api.turns import Turn
from controllers.conversations.errors import ConversationBusy, ConversationNotFound, NameInvalid, ShelfFull
from controllers.conversations.keeping import Keeper
from controllers.conversations.limits import SHELF_ITEM_BYTES_MAX, SHELF_NAMES_MAX, SHELVED_BYTES_MAX, STORE_BYTES_MAX
from controllers.conversations.records import ConversationRecord, TurnRecord
from controllers.conversations.shelved import ConversationShelf
from controllers.conversations.surplus import DAY_MS, Limits, surplus
from controllers.conversations.telling import Heard
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Delete, Revision
from runtime.state import keys
from runtime.state.values import decode
from tests.unit.answer_parts import HandReasoner
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000_000
LIMITS = Limits(conversations=3, days=30)


def head(owner: str, *, age_days: float = 0.0, size: int = 0) -> ConversationRecord:
    at = NOW - int(age_days * DAY_MS)
    return ConversationRecord(owner=owner, title="t", created_unix_ms=at, last_unix_ms=at, bytes=size)


def gone(heads: dict[str, ConversationRecord], *, answering: tuple[str, ...] = ()) -> list[str]:
    return list(surplus(heads, LIMITS, now_unix_ms=NOW, answering=answering))


def test_what_is_old_goes() -> None:
    assert gone({"old": head("a", age_days=30.1), "new": head("a", age_days=29.9)}) == ["old"]


def test_of_too_many_the_oldest_of_whoever_has_most_go() -> None:
    """A script that asks all day must not cost a person their only conversation, which is older than all of its."""
    heads = {"person": head("anna", age_days=9)} | {f"s{at}": head("script", age_days=at) for at in range(1, 5)}
    assert gone(heads) == ["s4", "s3"]


def test_of_too_long_ones_too() -> None:
    heads = {"short": head("anna", age_days=9, size=10), "long": head("ben", size=STORE_BYTES_MAX)}
    assert gone(heads) == ["long"]


def test_one_that_is_being_answered_stays() -> None:
    heads = {f"c{at}": head("anna", age_days=at + 30.5) for at in range(5)}
    assert sorted(gone(heads, answering=("c4",))) == ["c0", "c1", "c2", "c3"]


class Kept:
    """A leader with conversations of its own, on the gate's store."""

    def __init__(self, hand: GateOnHand | None = None) -> None:
        self.hand = hand or GateOnHand()
        self.leads = True
        self.reasoner = HandReasoner(self.hand, self._led)
        self.keeper = Keeper(
            self.reasoner.book, store=self.hand.store, state=self.hand.state, clock=self.hand.clock, limits=LIMITS
        )

    def _led(self) -> Revision:
        if not self.leads:
            raise NotLeader("")
        return self.hand.desk.fence()

    async def say(self, text: str, conversation: str | None = None) -> str:
        events = self.reasoner.turn(Turn(text=text, conversation=conversation), person("anna"))
        assert [each async for each in events]
        return self.reasoner.begun[-1].conversation

    async def begun(self, text: str) -> tuple[str, AsyncIterator[bytes]]:
        """The conversation, and the rest of its turn's events."""
        turns = self.reasoner.turn(Turn(text=text), person("anna"))
        assert b"begun" in await anext(turns)
        return self.reasoner.begun[-1].conversation, turns

    def shelf(self, conversation: str) -> ConversationShelf:
        return self.reasoner.book.shelf(conversation)

    async def look(self) -> None:
        """As at the beginning of a leadership, once."""
        fence = self.hand.fence()
        assert fence is not None
        await self.keeper.look(fence, None)

    def raw(self, key: str) -> bytes:
        item = self.hand.state.get(key)
        assert item is not None
        return item.value

    def head(self, conversation: str) -> ConversationRecord:
        return decode(self.raw(keys.conversation(conversation)), ConversationRecord)

    def turn(self, conversation: str, number: int = 1) -> TurnRecord:
        return decode(self.raw(keys.conversation_turn(conversation, number)), TurnRecord)

    def names(self) -> list[str]:
        return [item.key for item in self.hand.state.items("conversation")]


async def test_with_a_conversation_goes_all_that_is_its_own() -> None:
    kept = Kept()
    names = [await kept.say("hello")]
    for _ in range(4):
        kept.hand.clock.now_ms += 1_000
        names.append(await kept.say("hello"))
    await kept.shelf(names[0]).put({"a": b"1", "long": b"x" * (SHELF_ITEM_BYTES_MAX + 1)})
    await kept.look()
    left = {keys.parts(key)[0] for key in kept.names()}
    assert left == set(names[2:])
    assert kept.hand.state.items(keys.CONTENT_PINS) == []


async def test_what_a_deleted_one_leaves_is_taken_away() -> None:
    kept = Kept()
    conversation = await kept.say("hello")
    await kept.shelf(conversation).put({"a": b"1", "long": b"x" * (SHELF_ITEM_BYTES_MAX + 1)})
    other = await kept.say("stay")
    assert len(kept.hand.state.items(keys.CONTENT_PINS)) == 1
    await kept.hand.store.txn([], [Delete(key=keys.conversation(conversation))])
    await kept.look()
    assert {keys.parts(key)[0] for key in kept.names()} == {other}
    assert kept.hand.state.items(keys.CONTENT_PINS) == []


async def test_a_turn_that_nobody_answers_any_more_is_said_to_be_broken() -> None:
    """As a leader leaves it that dies amid an answer: what was said is there, and the next turn may come."""
    kept = Kept()
    conversation, _ = await kept.begun("why are orders slow?")
    successor = Kept(kept.hand)
    assert successor.turn(conversation).state == "begun"
    await successor.look()
    turn = successor.turn(conversation)
    assert (turn.state, turn.text) == ("broken", "why are orders slow?")
    assert successor.head(conversation).open == 0


async def test_the_next_turn_says_so_as_well() -> None:
    """It may come before the new leader has looked."""
    kept = Kept()
    conversation, _ = await kept.begun("why are orders slow?")
    successor = Kept(kept.hand)
    await successor.say("and now?", conversation)
    assert [successor.turn(conversation, each).state for each in (1, 2)] == ["broken", "ended"]


async def test_one_that_is_being_answered_here_is_left_alone_and_takes_no_other_turn() -> None:
    kept = Kept()
    conversation, turns = await kept.begun("hello")
    await kept.look()
    assert kept.turn(conversation).state == "begun"
    with pytest.raises(ConversationBusy):
        await kept.say("again", conversation)
    assert [each async for each in turns]
    assert kept.turn(conversation).state == "ended"
    await kept.say("again", conversation)


async def test_a_leader_that_leads_no_more_writes_no_answer() -> None:
    """The turn stays as it is: its successor says what became of it. Who asked is answered all the same."""
    kept = Kept()
    conversation, turns = await kept.begun("hello")
    kept.leads = False
    assert [each async for each in turns]
    assert kept.turn(conversation).state == "begun"


async def test_what_a_graph_keeps_is_read_again_long_or_short() -> None:
    kept = Kept()
    shelf = kept.shelf(await kept.say("hello"))
    items = {"-t/-/-1/s": b"short", "-t/-/-2/s": b"x" * (SHELF_ITEM_BYTES_MAX + 1)}
    await shelf.put(items)
    assert await shelf.get([*items, "-t/-/-3/s"]) == items
    assert await shelf.list("-t/-/-2") == ["-t/-/-2/s"]
    await shelf.delete(["-t/-/-2/s", "nothing"])
    assert await shelf.list("") == ["-t/-/-1/s"]
    assert kept.hand.state.items(keys.CONTENT_PINS) == []


async def test_a_conversation_s_shelf_reads_no_other_s() -> None:
    """Whatever the name: there is no verb that takes a conversation, and no name that leads out of it."""
    kept = Kept()
    mine, yours = await kept.say("mine"), await kept.say("yours")
    await kept.shelf(yours).put({"secret": b"of yours"})
    shelf = kept.shelf(mine)
    assert await shelf.get(["secret"]) == {}
    assert await shelf.list("") == []
    assert await shelf.get([f"../{yours}/secret", f"{yours}/secret"]) == {}
    for name in (f"/{yours}/secret", "", "a//b", "a/b" * 200, "a\x00b", "ä"):
        with pytest.raises(NameInvalid):
            await shelf.get([name])
    await shelf.delete(["secret"])
    assert await kept.shelf(yours).get(["secret"]) == {"secret": b"of yours"}


async def test_a_graph_keeps_no_more_than_there_is_room_for() -> None:
    kept = Kept()
    shelf = kept.shelf(await kept.say("hello"))
    before = kept.hand.state.revision
    for items in ({f"n{at}": b"" for at in range(SHELF_NAMES_MAX + 1)}, {"n": b"x" * (SHELVED_BYTES_MAX + 1)}):
        with pytest.raises(ShelfFull):
            await shelf.put(items)
    assert kept.hand.state.revision == before
    await shelf.put({f"n{at}": b"" for at in range(SHELF_NAMES_MAX)})


async def test_nothing_is_kept_for_a_conversation_that_is_gone() -> None:
    with pytest.raises(ConversationNotFound):
        await Kept().shelf("gone").put({"a": b"1"})


async def test_what_a_conversation_weighs_counts_its_turns_and_what_graphs_keep() -> None:
    kept = Kept()
    conversation = await kept.say("hello")
    shelf = kept.shelf(conversation)
    only_turns = kept.head(conversation).bytes
    assert only_turns == len(kept.raw(keys.conversation_turn(conversation, 1)))
    await shelf.put({"a": b"12345"})
    assert kept.head(conversation).bytes == only_turns + 6
    await shelf.delete(["a"])
    assert kept.head(conversation).bytes == only_turns


def test_what_only_passes_is_not_kept() -> None:
    """An answer's words while they are written: `text` tells them again."""
    heard = Heard(tainted=False)
    for kind in ("written", "anew", "text"):
        assert heard.take(b'{"type":"%b","text":"two"}' % kind.encode()) == kind
    assert heard.raw == [b'{"type":"text","text":"two"}']
