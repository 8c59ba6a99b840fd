"""What can be followed as it happens: facts (/v1/events) and changes of the state's keys (/v1/watch/{prefix})."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Final

import anyio
import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.decoding import words_of
from agent_api.control_api.door import Caller, caller_of
from agent_api.control_api.endpoint import EVENTS, Endpoint, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Forbidden, NotFound
from agent_api.control_api.streams import (
    HEARTBEAT_S,
    LAST,
    EventStream,
    Frame,
    Hub,
    Lagging,
    Order,
    Seats,
    framed,
    place_of,
)
from runtime.consensus.errors import Compacted
from runtime.consensus.store import KeyValue, Revision, WatchBatch
from runtime.operations.actor import Role, at_least
from runtime.operations.secrecy import may_hide, told_value
from runtime.spelling import nearest
from runtime.state import keys
from runtime.telemetry.facts import order_of

WATCHED: Final = {
    keys.NODES: Role.VIEWER,
    keys.NODES_LIVE: Role.VIEWER,
    keys.BLUEPRINTS: Role.VIEWER,
    keys.TARGETS: Role.VIEWER,
    keys.INSTANCES: Role.VIEWER,
    keys.INSTANCE_STATES: Role.VIEWER,
    keys.ENDPOINTS: Role.VIEWER,
    keys.ARTIFACTS: Role.VIEWER,
    keys.PROPOSALS: Role.VIEWER,
    keys.FREEZES: Role.VIEWER,
    keys.INCIDENTS: Role.VIEWER,
    keys.GUARDS: Role.OPERATOR,
    keys.RECENT: Role.OPERATOR,
    keys.PRINCIPALS: Role.ADMIN,
}
"""Who may watch what. What is not here nobody watches: hashes of keys, join tokens, answers under idempotency keys."""
SHOWN: Final = (keys.NODES, keys.NODES_LIVE, keys.TARGETS, keys.INSTANCES, keys.INSTANCE_STATES, keys.ENDPOINTS)
"""What a reset of the facts shows the state by."""
HEARTBEAT: Final = b": still here\n\n"
AHEAD: Final = "that id is ahead of all that this cluster has done"
FACTS_AT_ONCE: Final = 1_000
AHEAD_S: Final = 5.0  # that this node may be behind the one that told an id
CHECKED_S: Final = HEARTBEAT_S  # between looks at whether who follows may still

Chooses = Callable[[Frame], bool]
Holds = Callable[[Caller], bool]
"""Whether what a request came with is still good for the same."""


class LastId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    after: Annotated[str, Meta(max_length=40, description="As Last-Event-ID, for clients that cannot send it.")] = ""


class Following:
    """`run` feeds the hubs, for as long as the process lives."""

    def __init__(self, parts: ApiParts, holds: Holds) -> None:
        self._parts = parts
        self._holds = holds
        self._facts = Hub()
        self._keys = Hub()
        self._seats = Seats(parts.settings.streams_max)

    @property
    def clients(self) -> int:
        return self._seats.taken

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed_facts)
            tasks.start_soon(self._feed_keys)

    async def _feed_facts(self) -> None:
        async for fact in self._parts.telemetry.follow_facts(""):
            name, order = str(fact["event"]), order_of(str(fact["id"]))
            if name == "Reset":  # the source itself has a gap: clients come again with their last ids
                self._facts.lose()
            else:
                self._facts.tell(Frame(order, name, framed(order, name, fact)))

    async def _feed_keys(self) -> None:
        while True:
            try:
                async for batch in self._parts.view.cache.changes():
                    for frame in _key_frames(batch):
                        self._keys.tell(frame)
            except Compacted:  # this task was kept from running for thousands of changes: clients begin anew
                self._keys.lose()

    def endpoints(self) -> list[Endpoint]:
        stream = Told(status=200, says="Events, for as long as the client reads.", media=(EVENTS,))
        return [
            Endpoint(
                name="watch",
                summary="Changes of the state's keys below a prefix, as server-sent events.",
                method="GET",
                path="/v1/watch/{prefix:path}",
                handle=self.watch,
                words=LastId,
                headers=("Last-Event-ID",),
                answers=(stream,),
                errors=("forbidden", "not_found", "request_invalid", "too_many_streams"),
            ),
        ]

    async def events(self, request: Request) -> Response:
        """Facts behind the client's last id, then all later ones."""
        words = words_of(request, LastId)
        last = place_of(request.headers.get("last-event-id", "") or words.after)
        return self._stream(request, self._events(last))

    async def _events(self, last: Order | None) -> AsyncIterator[bytes]:
        telemetry, place = self._parts.telemetry, self._facts.place
        floor: Order = last or (0, 0)
        if last is not None and not await self._reaches(last):
            floor = self._now()
            yield self._snapshot(SHOWN, AHEAD)
        elif last is not None:
            while True:
                found = telemetry.facts(_id(floor), FACTS_AT_ONCE)
                if not found["complete"]:
                    floor = self._now()
                    yield self._snapshot(SHOWN, "events behind that id are gone")
                    break
                facts = msgspec.convert(found["events"], list[dict[str, object]])
                if not facts:
                    break
                for fact in facts:
                    floor = order_of(str(fact["id"]))
                    yield framed(floor, str(fact["event"]), fact)
        async for chunk in _poured(self._facts, place, floor, lambda _: True):
            yield chunk

    async def watch(self, request: Request) -> Response:
        """Keys are told as they are in the store, but for what may be secret: `data` has key, revision and value."""
        words = words_of(request, LastId)
        prefix = str(request.path_params["prefix"])
        _check(prefix, caller_of(request).actor.role)
        last = place_of(request.headers.get("last-event-id", "") or words.after)
        return self._stream(request, self._watched(prefix, last))

    def _stream(self, request: Request, chunks: AsyncIterator[bytes]) -> Response:
        """Raises TooManyStreams."""
        if request.method == "HEAD":
            return Response(media_type=EVENTS)
        return EventStream(self._while_good(caller_of(request), chunks), self._seats.take())

    async def _while_good(self, caller: Caller, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Ends with the key or session behind it, and with any other change of what its holder may do."""
        looked_s = anyio.current_time()
        async for chunk in chunks:
            now_s = anyio.current_time()
            if now_s - looked_s >= CHECKED_S:
                if not self._holds(caller):
                    return
                looked_s = now_s
            yield chunk

    async def _watched(self, prefix: str, last: Order | None) -> AsyncIterator[bytes]:
        """Without an id, first the keys as they are."""
        place, floor = self._keys.place, last or (0, 0)
        reached = last is not None and await self._reaches(last)
        missed = self._missed(prefix, last) if last is not None and reached else None
        if missed is None:
            floor = self._now()
            why = "this is the state to begin with" if last is None else "changes behind that id are gone"
            yield self._snapshot((prefix,), why if last is None or reached else AHEAD)
        else:
            for frame in missed:
                floor = frame.order
                yield frame.raw
        async for chunk in _poured(self._keys, place, floor, lambda frame: frame.about.startswith(prefix)):
            yield chunk

    async def _reaches(self, last: Order) -> bool:
        """Whether this node comes to know what that id is of. One that no node ever comes to, as of a cluster before it
        was restored, would else keep everything from its client until then."""
        with anyio.move_on_after(AHEAD_S):
            await self._parts.view.cache.wait_for(Revision(last[0]))
            return True
        return False

    def _missed(self, prefix: str, last: Order) -> list[Frame] | None:
        """What changed behind `last` until now; None when this node does not know."""
        cache = self._parts.view.cache
        batches = cache.known_since(Revision(last[0] - (last[1] != LAST)))
        if batches is None:
            return None
        after = (last[0] - 1, LAST) if last[1] != LAST and cache.is_merged(Revision(last[0])) else last
        frames = [frame for batch in batches for frame in _key_frames(batch)]
        return [frame for frame in frames if frame.order > after and frame.about.startswith(prefix)]

    def _now(self) -> Order:
        return int(self._parts.view.cache.revision), LAST

    def _snapshot(self, prefixes: tuple[str, ...], why: str) -> bytes:
        """One reset event: the state as of one revision, and an id that goes on right behind it."""
        cache = self._parts.view.cache
        rows = [_row(item) for prefix in prefixes for item in cache.items(prefix)]
        data = {"reason": why, "revision": int(cache.revision), "keys": rows}
        return framed(self._now(), "reset", data)


async def _poured(hub: Hub, place: int, floor: Order, chosen: Chooses) -> AsyncIterator[bytes]:
    """Ends when the client is too far behind: it goes on with its last id. One that what happens is not for hears all
    the same that the stream lives."""
    told_s = anyio.current_time()
    try:
        async for frames in hub.follow(place):
            fresh = [each.raw for each in frames if each.order > floor and chosen(each)]
            if fresh or not frames or anyio.current_time() - told_s >= HEARTBEAT_S:
                yield b"".join(fresh) or HEARTBEAT
                told_s = anyio.current_time()
    except Lagging:
        return


def _key_frames(batch: WatchBatch) -> Iterator[Frame]:
    for index, event in enumerate(batch.events):
        item = event.item
        if not _kind_of(item.key):
            continue
        order = (int(batch.revision), index)
        row = _row(item) if event.kind == "put" else {"key": item.key, "revision": int(batch.revision)}
        yield Frame(order, item.key, framed(order, event.kind, row))


def _row(item: KeyValue) -> dict[str, object]:
    return {"key": item.key, "revision": int(item.mod_revision), "value": _value(item.key, item.value)}


def _value(key: str, raw: bytes) -> object:
    try:
        value = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace")
    return told_value(key, value) if may_hide(key, raw) else msgspec.Raw(raw)


def _kind_of(text: str) -> str:
    return next((kind for kind in WATCHED if text.startswith(kind)), "")


def _check(prefix: str, role: Role) -> None:
    """Raises NotFound for what cannot be watched, Forbidden for what that role may not watch."""
    kind = _kind_of(prefix)
    if not kind:
        raise NotFound(f"there is nothing to watch below {prefix[:80]!r}{nearest(prefix, WATCHED)}")
    if not at_least(role, WATCHED[kind]):
        raise Forbidden(f"watching {kind} needs the role {WATCHED[kind]}")


def _id(order: Order) -> str:
    return f"{order[0]}.{order[1]}"
