"""Minutes that this node missed, from the other core nodes: any of them may lead, and then needs what was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, TypeVar

import anyio
import msgspec
from msgspec import Meta

from controllers.context.errors import HistoryAway, HistoryQuestionInvalid
from controllers.context.history import MinuteHistory
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.names import NodeId

KNOWN: Final = "_history/known"
HOURS: Final = "_history/hours"
DAY: Final = 24
HOURS_AT_ONCE: Final = 256  # about 400 kB; a message takes 16 MiB
ASK_S: Final = 10.0
LOOK_S: Final = 5.0
AGAIN_S: Final = 3_600.0  # a minute that one node missed and nobody noticed is filled within this

HourField = Annotated[int, Meta(ge=0, le=10_000_000)]  # since 1970: until the year 3110
Key = tuple[str, HourField]
"""Slice and hour."""


class KnownAsked(msgspec.Struct, frozen=True, array_like=True):
    first_hour: HourField
    hours: Annotated[int, Meta(ge=1, le=DAY)]


class HoursAsked(msgspec.Struct, frozen=True, array_like=True):
    hours: Annotated[list[Key], Meta(max_length=HOURS_AT_ONCE)]


AskedT = TypeVar("AskedT", KnownAsked, HoursAsked)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_known: Final = msgspec.msgpack.Decoder(dict[str, dict[HourField, int]]).decode
_decode_hours: Final = msgspec.msgpack.Decoder(list[bytes]).decode


class HistoryFiller:
    """`offer` answers other nodes; `run` asks each core node that comes into sight about all days, newest first, and
    then every hour about the last one."""

    def __init__(
        self,
        *,
        history: MinuteHistory,
        days: int,
        peers: Callable[[], Sequence[NodeId]],
        connect: Callable[[NodeId], Awaitable[Connection]],
        clock: Clock,
        log: Lines,
    ) -> None:
        """peers: the other live core nodes."""
        self._history = history
        self._days = days
        self._peers = peers
        self._connect = connect
        self._clock = clock
        self._log = log
        self._asked_s: dict[NodeId, float] = {}  # when each peer in sight was last asked

    # -- answering -----------------------------------------------------------------------------------------------------

    def offer(self, handlers: Handlers) -> None:
        handlers.unary |= {KNOWN: self._known_asked, HOURS: self._hours_asked}

    async def _known_asked(self, call: IncomingCall) -> bytes:
        asked = _asked(call, KnownAsked)
        found: dict[str, dict[int, int]] = {}
        known = await self._history.ask(lambda file: file.known(asked.first_hour, asked.hours))
        for (name, hour), minutes in known.items():
            found.setdefault(name, {})[hour] = minutes
        return _encode(found)

    async def _hours_asked(self, call: IncomingCall) -> bytes:
        asked = _asked(call, HoursAsked)
        return _encode(await self._history.ask(lambda file: [file.hour(*key).pack() for key in asked.hours]))

    # -- asking --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            peers = self._peers()
            self._asked_s = {node: at_s for node, at_s in self._asked_s.items() if node in peers}
            for node in peers:
                await self._ask_when_due(node)
            await anyio.sleep(LOOK_S)

    async def _ask_when_due(self, node: NodeId) -> None:
        asked_s, now_s = self._asked_s.get(node), self._clock.monotonic_s()
        if asked_s is not None and now_s - asked_s < AGAIN_S:
            return
        try:
            filled = await self.fill_from(node, days=self._days if asked_s is None else 1)
        except (CallFault, HistoryAway, msgspec.DecodeError, UnicodeDecodeError):
            return  # it is asked again in a moment: a node that begins answers late
        self._asked_s[node] = now_s
        if filled:
            self._log.info("history_filled", source=node, minutes=filled)

    async def fill_from(self, node: NodeId, *, days: int) -> int:
        """How many minutes of the last days came from that node. Raises CallFault, HistoryAway or DecodeError."""
        connection = await self._connect(node)
        until = self._clock.unix_ms() // 1_000 // 3_600 + 1
        filled = 0
        for day in range(days):
            filled += await self._fill_day(connection, until - (day + 1) * DAY)
        return filled

    async def _fill_day(self, connection: Connection, first_hour: int) -> int:
        raw = await connection.call(KNOWN, _encode(KnownAsked(first_hour, DAY)), deadline_s=ASK_S)
        theirs = {
            (name, hour): minutes for name, hours in _decode_known(raw).items() for hour, minutes in hours.items()
        }
        ours = await self._history.ask(lambda file: file.known(first_hour, DAY))
        lacking = [
            key for key, minutes in theirs.items() if minutes & ~ours.get(key, 0) and self._is_asked(key, first_hour)
        ]
        filled = 0
        for at in range(0, len(lacking), HOURS_AT_ONCE):
            filled += await self._fetch(connection, lacking[at : at + HOURS_AT_ONCE])
        return filled

    def _is_asked(self, key: Key, first_hour: int) -> bool:
        return first_hour <= key[1] < first_hour + DAY

    async def _fetch(self, connection: Connection, keys: list[Key]) -> int:
        packed = _decode_hours(await connection.call(HOURS, _encode(HoursAsked(keys)), deadline_s=ASK_S))
        return await self._history.ask(lambda file: file.fill(dict(zip(keys, packed, strict=False))))


def _asked(call: IncomingCall, kind: type[AskedT]) -> AskedT:
    try:
        return msgspec.msgpack.decode(call.payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HistoryQuestionInvalid(str(error)) from error
