"""Investigations that no model could conclude are gone on with when one answers: by whoever leads, as whoever asked,
one after the other, and for an hour."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_api.assemble.postponed import GIVEN_UP, PostponedWork
from agent_api.control_api.turns import ReasonerAbsent
from controllers.conversations.book import Begun
from controllers.conversations.errors import ConversationBusy, ConversationFull
from controllers.conversations.limits import TURNS_MAX
from controllers.conversations.postponing import FIRST_S, HOLD_MS, PAUSE_MAX_S, after_turn, longest, pause_s
from controllers.conversations.records import Postponed
from controllers.conversations.telling import unpacked
from llm_layer.chat.events import Done, Text
from runtime.consensus.store import Delete, Put
from runtime.operations.actor import Actor, Role
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import encode
from tests.unit.gate_parts import person
from tests.unit.test_conversation_keeping import Kept, head

pytestmark = pytest.mark.anyio
ANNA = person("anna")
POSTPONED = {"type": "postponed", "slice": "orders", "incident": True}
BY_MODEL = {"type": "done", "answered_by": "model"}
BY_RULES = {"type": "done", "answered_by": "rules"}


def waiting(number: int = 1, since: int = 0) -> Postponed:
    return Postponed(number=number, slice="orders", incident=False, actor=ANNA, since_unix_ms=since)


class Waits(Kept):
    """Implements Investigating: a model that answers or not, and what it then tells."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = False
        self.told: list[list[dict[str, object]]] = []
        self.asked: list[tuple[str, bool]] = []
        self.fault: Exception | None = None
        self.work = self.anew()

    def anew(self) -> PostponedWork:
        """As of another leader."""

        async def wait_for(_revision: object) -> None:
            """Its cache has all."""

        return PostponedWork(desk=self.hand.desk, wait_for=wait_for, book=self.reasoner.book, reasoner=self)

    async def model_answers(self, actor: Actor, *, incident: bool) -> bool:
        self.asked.append((actor.id, incident))
        if self.fault is not None:
            raise self.fault
        return self.answers

    async def investigate(self, conversation: str, postponed: Postponed, actor: Actor) -> bool:
        events = self.told.pop(0)
        text = await self.reasoner.book.question(conversation, postponed.number)
        await self.turned(f"(again) {text}", conversation, actor, events, goes_on=True)
        return events[-1] == BY_MODEL

    async def turned(
        self, text: str, conversation: str, actor: Actor, events: list[dict[str, object]], *, goes_on: bool = False
    ) -> str:
        async def answer(_begun: Begun) -> AsyncGenerator[bytes]:
            for each in events:
                yield msgspec.json.encode(each)

        book, last = self.reasoner.book, b""
        async for each in book.recorded(text, conversation, actor, answer, goes_on=goes_on):
            last = each
        return str(msgspec.json.decode(last)["conversation"])

    async def postponed(self, text: str = "why are orders slow?") -> str:
        """A conversation in which no model answered."""
        await self.hand.populate()
        return await self.turned(text, "", ANNA, [POSTPONED, BY_RULES])

    def pass_s(self, seconds: float) -> None:
        self.hand.clock.now_ms += int(seconds * 1_000)

    async def looks(self, count: int, every_s: float = FIRST_S) -> None:
        for _ in range(count):
            await self.work.look()
            self.pass_s(every_s)


async def test_it_waits_until_a_model_answers_and_then_is_concluded_once() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    await kept.looks(2)
    assert (kept.asked, kept.head(conversation).turns) == ([("anna", True)] * 2, 1)
    kept.answers, kept.told = True, [[BY_MODEL]]
    await kept.looks(5, every_s=60)
    assert kept.head(conversation).postponed is None
    assert [kept.turn(conversation, at).text for at in (1, 2)] == [
        "why are orders slow?",
        "(again) why are orders slow?",
    ]
    assert len(kept.asked) == 3


async def test_another_leader_goes_on_with_it() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    await kept.work.look()
    kept.answers, kept.told = True, [[BY_MODEL]]
    await kept.anew().look()
    assert kept.head(conversation).postponed is None


async def test_of_many_whoever_waited_longest_is_next_and_nobody_is_asked_for_each() -> None:
    kept = Waits()
    first = await kept.postponed("why are orders slow?")
    kept.pass_s(1)
    second = await kept.turned("and payment?", "", ANNA, [POSTPONED, BY_RULES])
    await kept.work.look()
    assert len(kept.asked) == 1
    kept.answers, kept.told = True, [[BY_MODEL], [BY_MODEL]]
    kept.pass_s(FIRST_S)
    await kept.work.look()
    assert (kept.head(first).postponed, kept.head(second).postponed is None) == (None, False)
    await kept.work.look()
    assert kept.head(second).postponed is None


async def test_where_it_is_in_vain_again_the_hour_goes_on_and_the_pause_grows() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    since = kept.head(conversation).postponed
    assert since is not None
    kept.answers, kept.told = True, [[POSTPONED, BY_RULES], [POSTPONED, BY_RULES], [BY_MODEL]]
    kept.pass_s(100)
    await kept.work.look()
    again = kept.head(conversation).postponed
    assert again is not None
    assert (again.number, again.since_unix_ms) == (1, since.since_unix_ms)
    await kept.looks(3, every_s=FIRST_S)
    assert kept.head(conversation).turns == 3  # at 0 and 5 s, and not before 15
    await kept.looks(1)
    assert kept.head(conversation).postponed is None
    again_text = "(again) why are orders slow?"  # what was asked first, and not what was said of an attempt
    assert [kept.turn(conversation, at).text for at in (2, 3, 4)] == [again_text] * 3


async def test_after_an_hour_it_is_given_up_and_its_conversation_says_so_once() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    kept.pass_s(HOLD_MS / 1_000)
    await kept.looks(2)
    assert (kept.asked, kept.head(conversation).postponed, kept.head(conversation).turns) == ([], None, 2)
    assert kept.turn(conversation, 2).text == "(given up) why are orders slow?"
    told = unpacked(kept.turn(conversation, 2).events)
    words, done = msgspec.convert(told, tuple[Text, Done])
    assert (words.text, done.answered_by, done.kind) == (GIVEN_UP, "rules", "followed")
    assert set(told[1]) == {"type", *Done.__struct_fields__}  # whatever clients read of others, they find in this one


@pytest.mark.parametrize("ends", ["who asked is gone", "it is full", "it was deleted"])
async def test_of_what_lapsed_where_it_cannot_be_told_nothing_is_left(ends: str) -> None:
    kept = Waits()
    conversation = await kept.postponed()
    head_key = keys.conversation(conversation)
    if ends == "who asked is gone":
        await kept.hand.principal(PrincipalRecord(id="anna", kind="person", role=Role.OPERATOR, disabled=True))
    elif ends == "it is full":
        full = msgspec.structs.replace(kept.head(conversation), turns=TURNS_MAX)
        await kept.hand.store.txn([], [Put(key=head_key, value=encode(full))])
    else:
        await kept.hand.store.txn([], [Delete(key=head_key)])
    kept.pass_s(HOLD_MS / 1_000)
    await kept.work.look()
    assert kept.hand.state.get(head_key) is None or kept.head(conversation).postponed is None
    assert (await kept.hand.store.get(keys.conversation_turn(conversation, 2))).item is None


async def filled(kept: Waits, conversation: str) -> None:
    kept.fault = ConversationFull(conversation, 200)


@pytest.mark.parametrize(
    "ends",
    [
        lambda kept, _: kept.hand.principal(
            PrincipalRecord(id="anna", kind="person", role=Role.OPERATOR, disabled=True)
        ),
        filled,
    ],
    ids=["who asked is gone", "the conversation is full"],
)
async def test_what_nobody_can_be_told_is_dropped(ends: Callable[[Waits, str], Awaitable[None]]) -> None:
    kept = Waits()
    conversation = await kept.postponed()
    await ends(kept, conversation)
    await kept.work.look()
    assert kept.head(conversation).postponed is None


async def test_an_absent_reasoner_is_no_reason_to_give_up() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    kept.fault = ReasonerAbsent("it is gone")
    await kept.looks(3)
    assert kept.head(conversation).postponed is not None
    assert len(kept.asked) == 2


async def test_a_conversation_that_is_spoken_in_is_let_speak() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    kept.reasoner.book.answering.add(conversation)
    await kept.work.look()
    assert kept.asked == []


async def test_who_speaks_while_a_model_is_asked_for_its_word_loses_nothing() -> None:
    """The word takes a while, in which another turn may have begun."""
    kept = Waits()
    conversation = await kept.postponed()
    kept.fault = ConversationBusy(conversation)
    await kept.work.look()
    kept.fault, kept.answers, kept.told = None, True, [[BY_MODEL]]
    assert kept.head(conversation).postponed is not None
    await kept.work.look()  # with no pause: a model was there
    assert kept.head(conversation).turns == 2


async def test_other_turns_leave_it_and_a_new_one_takes_its_place() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    await kept.turned("how is the cluster", conversation, ANNA, [BY_RULES])
    first = kept.head(conversation).postponed
    assert first is not None
    assert first.number == 1
    await kept.turned("and why is payment?", conversation, ANNA, [POSTPONED, BY_RULES])
    second = kept.head(conversation).postponed
    assert second is not None
    assert second.number == 3
    await kept.reasoner.book.give_up(conversation, first)  # which is another by now
    assert kept.head(conversation).postponed == second


async def test_a_turn_that_broke_off_goes_on_waiting() -> None:
    kept = Waits()
    conversation = await kept.postponed()
    with pytest.raises(KeyError):
        await kept.turned("(again)", conversation, ANNA, [{"type": "text", "text": "It"}], goes_on=True)
    assert kept.turn(conversation, 2).state == "broken"
    assert kept.head(conversation).postponed is not None


@given(before=st.booleans(), made=st.booleans(), goes_on=st.booleans(), ended=st.booleans())
def test_nothing_waits_that_was_concluded_and_nothing_is_lost_otherwise(
    *, before: bool, made: bool, goes_on: bool, ended: bool
) -> None:
    old, new = waiting(1, since=5) if before else None, waiting(2, since=9) if made else None
    after = after_turn(old, new, goes_on=goes_on, ended=ended)
    assert (after is not None) is (made or (before and not (goes_on and ended)))
    if after is not None and made:
        assert (after.number, after.since_unix_ms) == ((1, 5) if before and goes_on else (2, 9))


def test_pauses_grow_to_an_end() -> None:
    pauses = [pause_s(each) for each in range(2_000)]
    assert (pauses[0], pauses[1], pauses[-1]) == (FIRST_S, 2 * FIRST_S, PAUSE_MAX_S)
    assert pauses == sorted(pauses)


def test_who_waited_longest_is_first() -> None:
    heads = {name: msgspec.structs.replace(head("a"), postponed=waiting(since=at)) for name, at in (("b", 2), ("a", 3))}
    assert [each.conversation for each in longest({**heads, "c": head("a")})] == ["b", "a"]
