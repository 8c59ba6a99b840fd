"""The desk where questions about the cluster's doings are answered: load, facts, logs, traces, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec

from runtime.clock import Clock
from runtime.consensus.errors import Compacted, StoreFault
from runtime.consensus.figures import StoreFigures
from runtime.consensus.store import LEADER_KEY, Store
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.names import NodeId
from runtime.telemetry import figures, lines, methods, picture, windows
from runtime.telemetry.alerts.figures import FigureSource
from runtime.telemetry.exposition import AlertSource, Exposition
from runtime.telemetry.fact_log import FactLog
from runtime.telemetry.facts import Fact
from runtime.telemetry.meter import NodeMeter
from runtime.telemetry.report import ProcessReport
from runtime.telemetry.store_meter import StoreMeter

ASK_S: Final = 2.0  # a node that does not answer within this is named as silent
PING_S: Final = 0.8
DOWN_S: Final = 2.0  # between questions to nodes whose lease has ended: their control may well know why
STORE_S: Final = 1.0  # between looks at the node's own store
RETRY_S: Final = 0.5
PRUNE_S: Final = 60.0
PING: Final = "_telemetry/ping"
WINDOW: Final = "_telemetry/window"
METHODS: Final = "_telemetry/methods"
LINES: Final = {"logs": "_telemetry/logs", "traces": "_telemetry/traces"}

RingKind = Literal["logs", "traces"]
Rows = list[dict[str, object]]
AnswerT = TypeVar("AnswerT")
_decode_window: Final = msgspec.msgpack.Decoder(windows.WindowCopy | None).decode
_decode_methods: Final = msgspec.msgpack.Decoder(methods.MethodsLately).decode
_decode_rows: Final = msgspec.msgpack.Decoder(list[dict[str, object]]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRing:
    """A directory of segments and what it may take."""

    directory: Path
    bytes_max: int
    age_s_max: float

    def prune(self) -> int:
        return lines.prune(self.directory, bytes_max=self.bytes_max, age_s_max=self.age_s_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSecond:
    """One second of the cluster as this node knows it. `nodes` are those heard of lately: what others did is not in
    `slices`."""

    at_s: int
    slices: Mapping[str, figures.SliceFigures]
    nodes: tuple[figures.NodeFigures, ...]


class TelemetryDesk:
    """Implements the API's Telemetry. `offer` registers what other nodes' desks ask; `run` keeps all current."""

    def __init__(
        self,
        *,
        node: NodeId,
        store: Store,
        prefixes: Sequence[str],
        rings: Mapping[RingKind, DiskRing],
        reports: Callable[[], Awaitable[tuple[ProcessReport, ...]]],
        silent: Callable[[], tuple[str, ...]],
        store_figures: Callable[[], Awaitable[StoreFigures | None]],
        has_store: bool,
        machine: Callable[[], figures.MachineFigures],
        instances: Callable[[], dict[str, int]],
        peers: Callable[[], Sequence[NodeId]],
        down: Callable[[], Sequence[NodeId]],
        connect: Callable[[NodeId], Awaitable[Connection]],
        is_leader: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """peers: the other live nodes. down: those that belong to the cluster and do not live. store_figures: of the
        node's own store, if it has one. silent: its processes that run and answer nothing."""
        self._node = node
        self._store = store
        self._prefixes = (LEADER_KEY, *prefixes)
        self._rings = rings
        self._limited = anyio.Event()
        self._reports = reports
        self._silent = silent
        self._store_figures = store_figures
        self._store_now: StoreFigures | None = None
        self._has_store = has_store
        self._store_meter = StoreMeter()
        self._vitals: figures.StoreVitals | None = None
        self._machine = machine
        self._instances = instances
        self._peers = peers
        self._down = down
        self._connect = connect
        self._is_leader = is_leader
        self._clock = clock
        self._meter = NodeMeter(node)
        self._picture = picture.ClusterPicture()
        self._own = figures.NodeFigures(node=node, at_s=0)
        self._facts = FactLog()
        self._listeners: list[Callable[[ClosedSecond], None]] = []
        self._published: dict[str, FigureSource] = {}
        self._alerts: AlertSource | None = None
        self._exposition = Exposition(lambda: self._meter.reports, lambda: self._store_now, lambda: self._alerts)

    # -- running -------------------------------------------------------------------------------------------------------

    def offer(self, handlers: Handlers) -> None:
        handlers.unary |= {
            PING: self._pinged,
            WINDOW: self._window_asked,
            METHODS: self._methods_asked,
            LINES["logs"]: lambda call: self._lines_asked("logs", call),
            LINES["traces"]: lambda call: self._lines_asked("traces", call),
        }

    def on_second(self, listener: Callable[[ClosedSecond], None]) -> None:
        """Calls it with every second from now on; it must be quick and raise nothing."""
        self._listeners.append(listener)

    def publish(self, metrics: Iterable[str], source: FigureSource) -> None:
        """Answers `figure` for these from now on: what others than telemetry know, for alerts."""
        self._published |= dict.fromkeys(metrics, source)

    def show_alerts(self, source: AlertSource) -> None:
        """From now on the exposition tells of these, too."""
        self._alerts = source

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_facts)
            tasks.start_soon(self._each_second)
            tasks.start_soon(self._follow_store)
            tasks.start_soon(self._ask_down)
            tasks.start_soon(self._prune)

    async def _follow_facts(self) -> None:
        while True:
            try:
                await self._facts.run(self._store, self._prefixes)
            except (Compacted, StoreFault):
                await anyio.sleep(RETRY_S)

    async def _each_second(self) -> None:
        while True:
            now_s = self._now_s()
            await anyio.sleep(1.0 - self._clock.unix_ms() % 1_000 / 1_000)
            reports = await self._reports()
            own = self._meter.take(reports, self._instances(), now_s)
            self._own = msgspec.structs.replace(own, machine=self._machine(), store=self._vitals, silent=self._silent())
            self._picture.take(self._own, now_s)
            if self._is_leader():
                await self._exchange(now_s)
            slices = self._picture.close_second(now_s)
            for listener in self._listeners:
                listener(ClosedSecond(at_s=now_s, slices=slices, nodes=self._picture.nodes(now_s)))

    async def _follow_store(self) -> None:
        while True:
            self._store_now = await self._store_figures()
            self._vitals = self._store_meter.take(self._store_now) if self._has_store else None
            await anyio.sleep(STORE_S)

    async def _exchange(self, now_s: int) -> None:
        """The leader shows every node the whole picture and gets that node's figures back."""
        await self._ping(self._peers(), self._picture.take, now_s)

    async def _ask_down(self) -> None:
        """A node whose own store hangs cannot keep its lease, and is the only one that can tell."""
        while True:
            await anyio.sleep(DOWN_S)
            if self._is_leader():
                await self._ping(self._down(), self._picture.take_store, self._now_s())

    async def _ping(
        self, nodes: Sequence[NodeId], take: Callable[[figures.NodeFigures, int], None], now_s: int
    ) -> None:
        payload = figures.encode(self._picture.nodes(now_s))

        async def ask(node: NodeId) -> None:
            try:
                connection = await self._connect(node)
                raw = await connection.call(PING, payload, deadline_s=PING_S)
                take(figures.decode_figures(raw), now_s)
            except (CallFault, msgspec.DecodeError):
                return  # its figures go stale, and the picture leaves them out

        with anyio.move_on_after(PING_S):
            async with anyio.create_task_group() as tasks:
                for node in nodes:
                    tasks.start_soon(ask, node)

    async def _pinged(self, call: IncomingCall) -> bytes:
        now_s = self._now_s()
        for other in figures.decode_picture(call.payload):
            if other.node != self._node:
                self._picture.take(other, now_s)
        return figures.encode(self._own)

    def limit(self, rings: Mapping[RingKind, DiskRing]) -> None:
        """From now on; what is beyond them goes at once."""
        if rings != self._rings:
            self._rings = rings
            self._limited.set()

    async def _prune(self) -> None:
        while True:
            self._limited = anyio.Event()
            for ring in self._rings.values():
                await anyio.to_thread.run_sync(ring.prune)
            with anyio.move_on_after(PRUNE_S):
                await self._limited.wait()

    def _now_s(self) -> int:
        return self._clock.unix_ms() // 1_000

    # -- answers -------------------------------------------------------------------------------------------------------

    def exposition(self) -> bytes:
        return self._exposition.text()

    def figure(self, subject: str, metric: str) -> float | None:
        """Of a slice, the share of errors (errors_share, 0 to 1), or the mean of a series of `windows`, over the last
        seconds; of a node or a store what it last told; or what was published under that name."""
        source = self._published.get(metric, self._picture)
        return source.figure(subject, metric)

    def silent_s(self, node: str) -> int | None:
        """For how long a node's control has told nothing; None if it never did."""
        return self._picture.silent_s(node)

    def store_members(self) -> frozenset[str]:
        """Of the consensus group; empty while that is not known."""
        return self._picture.store_members()

    def recent(self, slice_name: str) -> windows.Window | None:
        """What this node has of the last two hours."""
        return self._picture.window(slice_name)

    def picture(self) -> dict[str, object]:
        return self._picture.summary(self._now_s())

    async def window(self, slice_name: str) -> dict[str, object] | None:
        """Each second for ten minutes and each ten seconds for two hours, oldest first; null is missing. `silent` are
        nodes that did not answer, or whose figures of the last seconds are not in it; `nodes` as this one knows."""
        copies, silent = await self._ask_peers(WINDOW, slice_name.encode(), _decode_window)
        own = self._picture.window(slice_name)
        found = [own.copy() if own is not None else None, *copies]
        known = [copy for copy in found if copy is not None]
        if not known:
            return None
        heard = {each.node for each in self._picture.nodes(self._now_s())}
        window = windows.merged(known)
        return {
            "slice": slice_name,
            "silent": sorted({*silent, *({self._node, *self._peers()} - heard)}),
            "seconds": _told(window.fine),
            "ten_seconds": _told(window.coarse),
            "nodes": {node: _told(series) for node, series in self._picture.by_node(slice_name).items()},
        }

    async def methods(self, slice_name: str) -> dict[str, object]:
        """What each of its methods did in the last minute, on all nodes that answered."""
        parts, silent = await self._ask_peers(METHODS, slice_name.encode(), _decode_methods)
        own = self._meter.methods.lately(slice_name)
        return {"over_s": own.over_s, "silent": silent, "methods": methods.together([own, *parts])}

    async def _methods_asked(self, call: IncomingCall) -> bytes:
        return figures.encode(self._meter.methods.lately(call.payload.decode("utf-8", "replace")))

    def node_window(self, node: str) -> dict[str, object] | None:
        """The same of one node, as this one knows it."""
        found = self._picture.node_window(node)
        if found is None:
            return None
        return {
            "node": node,
            "seconds": _told(found.fine()),
            "ten_seconds": _told(found.coarse()),
        }

    async def _window_asked(self, call: IncomingCall) -> bytes:
        own = self._picture.window(call.payload.decode("utf-8", "replace"))
        return figures.encode(own.copy() if own is not None else None)

    def facts(self, after: str, limit: int) -> dict[str, object]:
        """`complete` is false when facts behind `after` are gone here: read the state anew then."""
        events = [msgspec.to_builtins(fact) for fact in self._facts.after(after, limit)]
        return {"events": events, "complete": self._facts.is_complete_after(after)}

    def new_facts(self) -> AsyncIterator[Fact]:
        """What happens from now on; all that is known first, if this desk knows nothing yet."""
        return self._facts.follow("")

    def facts_behind(self, after: str) -> AsyncIterator[Fact]:
        """What happened behind that id and what happens from now on; a Reset where some of it is gone here."""
        return self._facts.follow(after)

    async def follow_facts(self, after: str) -> AsyncIterator[dict[str, object]]:
        async for fact in self._facts.follow(after):
            yield msgspec.to_builtins(fact)

    async def logs(self, query: dict[str, str]) -> dict[str, object]:
        return await self._all("logs", query)

    async def traces(self, query: dict[str, str]) -> dict[str, object]:
        return await self._all("traces", query)

    # -- lines of all nodes --------------------------------------------------------------------------------------------

    async def _all(self, kind: RingKind, words: dict[str, str]) -> dict[str, object]:
        """Merged, newest first, with the nodes that did not answer."""
        query = lines.query_of(words)
        local: list[Rows] = []

        async def look() -> None:
            local.append(await self._local(kind, query))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            parts, silent = await self._ask_peers(LINES[kind], msgspec.msgpack.encode(query), _decode_rows)
        return {kind: lines.merge([*local, *parts], query.limit), "silent": silent}

    async def _ask_peers(
        self, target: str, payload: bytes, decode: Callable[[bytes], AnswerT]
    ) -> tuple[list[AnswerT], list[str]]:
        """All other live nodes at once: their answers, and the names of those that gave none, or could not."""
        answers: list[AnswerT] = []
        silent: list[str] = list(self._down())

        async def ask(node: NodeId) -> None:
            try:
                with anyio.fail_after(ASK_S):
                    connection = await self._connect(node)
                    answers.append(decode(await connection.call(target, payload, deadline_s=ASK_S)))
            except (CallFault, TimeoutError, msgspec.DecodeError):
                silent.append(node)

        async with anyio.create_task_group() as tasks:
            for node in self._peers():
                tasks.start_soon(ask, node)
        return answers, sorted(silent)

    async def _lines_asked(self, kind: RingKind, call: IncomingCall) -> bytes:
        try:
            query = msgspec.msgpack.decode(call.payload, type=lines.LineQuery)
        except msgspec.DecodeError as error:
            raise lines.QueryInvalid(str(error)) from error
        return msgspec.msgpack.encode(await self._local(kind, query))

    async def _local(self, kind: RingKind, query: lines.LineQuery) -> Rows:
        ring = self._rings[kind]
        return await anyio.to_thread.run_sync(lambda: lines.find(ring.directory, query))


def _told(series: Mapping[str, Sequence[float]]) -> dict[str, list[float | None]]:
    return {name: [_json(value) for value in values] for name, values in series.items()}


def _json(value: float) -> float | None:
    return None if value != value else round(value, 3)  # noqa: PLR0124  NaN is not equal to itself
