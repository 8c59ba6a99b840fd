"""The leader's hand on conversations: each turn is written before it is answered, and again when it has been."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec

from controllers.conversations.bulk import Bulk, pin_of
from controllers.conversations.errors import ConversationBusy, ConversationFull, ConversationNotFound
from controllers.conversations.limits import ATTEMPTS_MAX, CARDS_MAX, IN_STORE_BYTES_MAX, TURNS_MAX
from controllers.conversations.postponing import after_turn
from controllers.conversations.reading import head_of
from controllers.conversations.records import ConversationRecord, Postponed, TurnRecord, TurnState, may_see
from controllers.conversations.shelved import ConversationShelf
from controllers.conversations.telling import Heard, Secrecy, packed, said, title_of
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Operation, Put, Revision, Store, led_by, unchanged
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.state import keys
from runtime.state.values import decode, encode

END_S = 10.0  # what writing an answer's end may take of a turn that is broken off


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A turn that is being answered. tainted: the conversation was, before it. goes_on: with what was postponed."""

    conversation: str
    number: int
    tainted: bool
    actor: Actor
    goes_on: bool = False

    def placed(self, event: dict[str, object]) -> bytes:
        """The event, with where it stands."""
        return msgspec.json.encode({**event, "conversation": self.conversation, "number": self.number})


class ConversationBook:
    """led: the revision that this node's leadership began at; raises NotLeader while it does not lead."""

    def __init__(
        self,
        *,
        store: Store,
        bulk: Bulk,
        led: Callable[[], Revision],
        new_id: Callable[[], str],
        secrecy: Secrecy,
        clock: Clock,
        log: Lines,
    ) -> None:
        self._store = store
        self._bulk = bulk
        self._led = led
        self._new_id = new_id
        self._secrecy = secrecy
        self._clock = clock
        self._log = log
        self.answering: set[str] = set()
        """Conversations whose turns are under way here: what the store says of others is of a process that is gone."""

    async def recorded(
        self,
        text: str,
        identity: str,
        actor: Actor,
        answer: Callable[[Begun], AsyncGenerator[bytes]],
        *,
        goes_on: bool = False,
    ) -> AsyncGenerator[bytes]:
        """The answer's events with where they stand: first of all the turn's own, and `done` once it is written.
        identity: empty for a new conversation. Raises ConversationFault, StoreFault, and what `answer` raises."""
        begun = replace(await self._begin(text, identity, actor), goes_on=goes_on)
        heard = Heard(tainted=begun.tainted)
        state: TurnState = "broken"
        try:
            async with aclosing(answer(begun)) as events:
                raw = await anext(events, b"")  # absence is an error, and not a stream that begins
                yield begun.placed({"type": "begun"})
                while raw:
                    if heard.take(raw) == "done":
                        state = "ended"
                        break
                    yield raw
                    raw = await anext(events, b"")
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(END_S):
                await self._end(begun, heard, state)
        if state == "ended":
            yield begun.placed({**msgspec.json.decode(raw), "tainted": heard.tainted})

    def shelf(self, conversation: str) -> ConversationShelf:
        """Where graphs keep how far they came in that conversation."""
        return ConversationShelf(store=self._store, bulk=self._bulk, led=self._led, conversation=conversation)

    # the beginning

    async def _begin(self, text: str, identity: str, actor: Actor) -> Begun:
        if identity in self.answering:
            raise ConversationBusy(identity)
        chosen = identity or self._new_id()
        self.answering.add(chosen)
        try:
            return await self._written(said(text, self._secrecy.takes), identity, chosen, actor)
        except BaseException:
            self.answering.discard(chosen)
            raise

    async def _written(self, text: str, identity: str, chosen: str, actor: Actor) -> Begun:
        """Raises NotLeader when another leads, or it changes again and again."""
        key = keys.conversation(chosen)
        for _ in range(ATTEMPTS_MAX):
            fence = self._led()
            item = (await self._store.get(key)).item if identity else None
            head = head_of(item) if item is not None else None
            if identity and (head is None or not may_see(head, actor)):
                raise ConversationNotFound(identity)
            after = self._with_turn(head, text, chosen, actor)
            turn = TurnRecord(number=after.turns, by=actor.id, text=text, began_unix_ms=after.last_unix_ms)
            operations: list[Operation] = [
                Put(key=key, value=encode(after)),
                Put(key=keys.conversation_turn(chosen, turn.number), value=encode(turn)),
                *(await self.mended(chosen, head) if head is not None else ()),
            ]
            same = unchanged(key, item.mod_revision if item is not None else Revision(0))
            if (await self._store.txn([led_by(fence), same], operations)).succeeded:
                return Begun(conversation=chosen, number=turn.number, tainted=after.tainted, actor=actor)
        raise NotLeader("")

    def _with_turn(self, head: ConversationRecord | None, text: str, identity: str, actor: Actor) -> ConversationRecord:
        now = self._clock.unix_ms()
        if head is None:
            head = ConversationRecord(owner=actor.id, title=title_of(text), created_unix_ms=now, last_unix_ms=now)
        if head.turns >= TURNS_MAX:
            raise ConversationFull(identity, TURNS_MAX)
        return msgspec.structs.replace(head, turns=head.turns + 1, open=head.turns + 1, last_unix_ms=now)

    async def mended(self, identity: str, head: ConversationRecord) -> list[Operation]:
        """What says of a turn that nobody answers any more that it was broken off."""
        key = keys.conversation_turn(identity, head.open)
        item = (await self._store.get(key)).item if head.open else None
        if item is None:
            return []
        turn = decode(item.value, TurnRecord)
        broken = msgspec.structs.replace(turn, state="broken", ended_unix_ms=self._clock.unix_ms())
        return [Put(key=key, value=encode(broken))]

    # the end

    async def _end(self, begun: Begun, heard: Heard, state: TurnState) -> None:
        """What fails here costs the record of an answer, and not the answer."""
        try:
            await self._ended(begun, heard, state)
        except RuntimeFault as fault:
            self._log.warning("turn_not_kept", conversation=begun.conversation, reason=str(fault))
        finally:
            self.answering.discard(begun.conversation)

    async def _ended(self, begun: Begun, heard: Heard, state: TurnState) -> None:
        kept = await self._kept(heard)
        head_key = keys.conversation(begun.conversation)
        turn_key = keys.conversation_turn(begun.conversation, begun.number)
        for _ in range(ATTEMPTS_MAX):
            item, turn_item = (await self._store.get(head_key)).item, (await self._store.get(turn_key)).item
            if item is None or turn_item is None:
                return  # it was deleted meanwhile; what is left goes with the next trimming
            now = self._clock.unix_ms()
            turn = encode(_answered(decode(turn_item.value, TurnRecord), heard, kept, state=state, now_unix_ms=now))
            before = decode(item.value, ConversationRecord)
            head = encode(
                msgspec.structs.replace(
                    _after(before, heard, len(turn), now_unix_ms=now),
                    postponed=after_turn(
                        before.postponed, _made(begun, heard, now), goes_on=begun.goes_on, ended=state == "ended"
                    ),
                )
            )
            operations: list[Operation] = [Put(key=head_key, value=head), Put(key=turn_key, value=turn)]
            if kept.sha256:
                operations.append(Put(key=pin_of(begun.conversation, kept.sha256), value=b""))
            compare = [led_by(self._led()), unchanged(head_key, item.mod_revision)]
            if (await self._store.txn(compare, operations)).succeeded:
                return

    # what waits for a model

    async def question(self, conversation: str, number: int) -> str:
        """As it was said and kept; empty where there is none any more. Raises StoreFault."""
        item = (await self._store.get(keys.conversation_turn(conversation, number))).item
        return decode(item.value, TurnRecord).text if item is not None else ""

    async def give_up(self, conversation: str, postponed: Postponed) -> None:
        """Nothing waits there any more, unless it is another by now. Raises StoreFault."""
        key = keys.conversation(conversation)
        item = (await self._store.get(key)).item
        head = head_of(item) if item is not None else None
        if item is not None and head is not None and head.postponed == postponed:
            value = encode(msgspec.structs.replace(head, postponed=None))
            await self._store.txn([led_by(self._led()), unchanged(key, item.mod_revision)], [Put(key=key, value=value)])

    async def _kept(self, heard: Heard) -> _Kept:
        """Raises ContentFault."""
        events = await anyio.to_thread.run_sync(partial(packed, heard.raw, self._secrecy))
        if len(events) <= IN_STORE_BYTES_MAX:
            return _Kept(events=events)
        return _Kept(sha256=await self._bulk.keep(events))


class _Kept(NamedTuple):
    """An answer's events, or where they are content."""

    events: bytes = b""
    sha256: str = ""


def _made(begun: Begun, heard: Heard, now_unix_ms: int) -> Postponed | None:
    if heard.postponed is None:
        return None
    name, incident = heard.postponed
    return Postponed(number=begun.number, slice=name, incident=incident, actor=begun.actor, since_unix_ms=now_unix_ms)


def _answered(turn: TurnRecord, heard: Heard, kept: _Kept, *, state: TurnState, now_unix_ms: int) -> TurnRecord:
    return msgspec.structs.replace(
        turn,
        state=state,
        ended_unix_ms=now_unix_ms,
        answered_by=heard.answered_by,
        kind=heard.kind,
        tainted=heard.tainted,
        events=kept.events,
        events_sha256=kept.sha256,
        left_out=heard.left_out,
    )


def _after(head: ConversationRecord, heard: Heard, turn_bytes: int, *, now_unix_ms: int) -> ConversationRecord:
    return msgspec.structs.replace(
        head,
        open=0,
        last_unix_ms=now_unix_ms,
        tainted=heard.tainted,
        cards=_newest((*head.cards, *heard.cards)),
        bytes=head.bytes + turn_bytes,
    )


def _newest(cards: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, where it came last."""
    once = tuple(dict.fromkeys(reversed(cards)))
    return tuple(reversed(once[:CARDS_MAX]))
