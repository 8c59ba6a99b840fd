"""A gateway and the tables that control pushes: which it takes, in which order, and what requests see meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from runtime.gateway.front import Front
from runtime.gateway.gateway import Gateway
from runtime.gateway.inline import InlineCaller
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.routes import Found
from runtime.gateway.system import with_system_slices
from runtime.gateway.verbs import (
    DrainReply,
    DrainRequest,
    RequestUnreadable,
    TableApplied,
    TableMisdirected,
    TableStale,
)
from runtime.invocation.context import CallContext
from runtime.invocation.table import InstanceRow, PeerRow, RoutingTable, SliceRules
from runtime.names import NodeId
from runtime.sdk.contract import MethodContract, RouteContract, SliceContract
from tests.unit.gateway_parts import FakeRouter, Lines, make_front

pytestmark = pytest.mark.anyio

ORDERS = SliceContract(
    name="orders",
    version="1.0.0",
    entry="orders:Orders",
    methods=(MethodContract(name="read", routes=(RouteContract(method="GET", path="/orders"),)),),
)
STOCK = SliceContract(
    name="stock",
    version="1.0.0",
    entry="stock:Stock",
    methods=(MethodContract(name="read", routes=(RouteContract(method="GET", path="/stock"),)),),
)
RIVAL = SliceContract(name="rival", version="1.0.0", entry="r:R", methods=ORDERS.methods)


class FakeRouting:
    """Applies when `reachable` is set; says which rows it was told it cannot reach."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.reachable = asyncio.Event()
        self.reachable.set()
        self.unreachable: tuple[InstanceRow, ...] = ()

    async def apply(self, table: RoutingTable) -> tuple[InstanceRow, ...]:
        await self.reachable.wait()
        self.applied.append(table.revision)
        return self.unreachable


class FakeServer:
    def __init__(self) -> None:
        self.limits_s: list[float] = []

    async def drain(self, limit_s: float) -> bool:
        self.limits_s.append(limit_s)
        return True


class Parts:
    def __init__(self) -> None:
        self.routing, self.server, self.lines = FakeRouting(), FakeServer(), Lines()
        self.front: Front = make_front(FakeRouter(), limits=GatewayLimits())
        self.front.ready = False
        self.left = asyncio.Event()
        self.opened_with: list[bool] = []  # whether orders were served when HTTP connections were let in
        self.forwarded = [0, 0, 2, 5]  # calls of peers in progress, the last one first
        server: Any = self.server
        self.gateway = Gateway(
            node=NodeId("n1"),
            front=self.front,
            server=server,
            routing=self.routing,
            goaway=self.left.set,
            forwarding=self.forwarded.pop,
            lines=self.lines,
            system=(),
            opens=self.open,
        )

    async def open(self) -> None:
        self.opened_with.append(self.serves(b"/orders"))

    def rules(self, path: bytes) -> tuple[int, int]:
        """Of the route: the most that a request gets (ms), and when it is slow (µs)."""
        found = self.front.routes.find(b"GET", path)
        assert isinstance(found, Found)
        return found.binding.deadline_ms, found.binding.slow_us

    def serves(self, path: bytes) -> bool:
        return isinstance(self.front.routes.find(b"GET", path), Found)


@pytest.fixture
def parts() -> Parts:
    return Parts()


def table(revision: int, *contracts: SliceContract, node: str = "n1") -> RoutingTable:
    rows = tuple(InstanceRow(c.name, c.version, node, number) for number, c in enumerate(contracts, 1))
    return RoutingTable(revision=revision, node=node, instances=rows, contracts=contracts)


def asked(message: object) -> Any:
    return SimpleNamespace(payload=msgspec.msgpack.encode(message))


async def test_a_table_makes_the_gateway_ready_and_its_routes_served(parts: Parts) -> None:
    applied = msgspec.msgpack.decode(await parts.gateway.take_table(asked(table(3, ORDERS))), type=TableApplied)
    assert (applied.revision, applied.unreachable, applied.conflicts) == (3, (), ())
    assert parts.front.ready
    assert parts.serves(b"/orders")
    await parts.gateway.apply(table(4, ORDERS))
    assert parts.opened_with == [True]


async def test_a_route_goes_with_its_last_instance(parts: Parts) -> None:
    await parts.gateway.apply(table(3, ORDERS))
    await parts.gateway.apply(table(4))
    assert not parts.serves(b"/orders")


async def test_a_route_is_published_only_after_its_workers_are_connected(parts: Parts) -> None:
    """Else the first requests would find a route and nobody behind it."""
    parts.routing.reachable.clear()
    applying = asyncio.ensure_future(parts.gateway.apply(table(3, ORDERS)))
    await asyncio.sleep(0)
    assert not parts.serves(b"/orders")
    parts.routing.reachable.set()
    await applying
    assert parts.serves(b"/orders")


async def test_an_older_table_is_refused_and_changes_nothing(parts: Parts) -> None:
    """A control that slept must not undo what its successor did."""
    await parts.gateway.apply(table(5, ORDERS))
    with pytest.raises(TableStale, match="4"):
        await parts.gateway.apply(table(4))
    assert parts.serves(b"/orders")
    assert (await parts.gateway.apply(table(5, ORDERS))).revision == 5


async def test_tables_that_come_at_once_are_applied_one_after_another(parts: Parts) -> None:
    parts.routing.reachable.clear()
    newer = asyncio.ensure_future(parts.gateway.apply(table(2, ORDERS)))
    await asyncio.sleep(0)
    older = asyncio.ensure_future(parts.gateway.apply(table(1)))
    parts.routing.reachable.set()
    await newer
    with pytest.raises(TableStale):
        await older
    assert parts.serves(b"/orders")


async def test_a_table_for_another_node_is_refused(parts: Parts) -> None:
    with pytest.raises(TableMisdirected, match="n2"):
        await parts.gateway.apply(table(1, node="n2"))
    assert not parts.front.ready


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"revision": "x"})])
async def test_bytes_that_are_no_table_are_refused(parts: Parts, raw: bytes) -> None:
    call: Any = SimpleNamespace(payload=raw)
    with pytest.raises(RequestUnreadable):
        await parts.gateway.take_table(call)
    with pytest.raises(RequestUnreadable):
        await parts.gateway.take_drain(call)


async def test_what_cannot_be_reached_and_what_conflicts_is_told(parts: Parts) -> None:
    parts.routing.unreachable = (InstanceRow("orders", "1.0.0", "n1", 1),)
    applied = await parts.gateway.apply(table(1, ORDERS, RIVAL))
    assert applied.unreachable == parts.routing.unreachable
    assert [(conflict.winner, conflict.loser) for conflict in applied.conflicts] == [("orders", "rival")]
    assert "route_conflict" in dict(parts.lines.written)


async def test_a_drain_says_goaway_and_waits_no_longer_than_asked(parts: Parts) -> None:
    raw = await parts.gateway.take_drain(asked(DrainRequest(limit_ms=3_000)))
    assert msgspec.msgpack.decode(raw, type=DrainReply).finished
    assert parts.left.is_set()
    assert parts.server.limits_s == [3.0]
    assert parts.forwarded == []


def test_system_slices_are_on_every_node_of_the_table_and_inline_here() -> None:
    """A slice's cache must find the cache of every node, whatever control has listed so far."""
    cache = SliceContract(name="aether-cache", version="1.0.0", entry="c:C")
    whole = msgspec.structs.replace(table(1, ORDERS), peers=(PeerRow("n2", "h:1"), PeerRow("n3", "h:2", leaving=True)))
    filled = with_system_slices(whole, (cache,))
    assert filled.contracts == (ORDERS, cache)
    assert {(row.node, row.worker) for row in filled.instances if row.slice == "aether-cache"} == {
        ("n1", "inline"),
        ("n2", ""),
        ("n3", ""),
    }
    assert with_system_slices(filled, (cache,)) == filled


async def test_a_call_of_an_inline_slice_has_a_span_of_its_own_within_its_callers_deadline() -> None:
    seen: list[CallContext] = []

    class Router:
        async def call(
            self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
        ) -> bytes:
            assert context is not None
            seen.append(context)
            return node.encode()

    now_s = asyncio.get_running_loop().time()
    outer = CallContext.root(now_s + 1.0)
    caller = InlineCaller(Router)
    assert await caller.call("a/b", b"", outer, deadline_s=5.0, node="n2") == b"n2"
    await caller.call("a/b", b"", outer, deadline_s=0.5)
    await caller.call("a/b", b"", None, deadline_s=5.0)
    bounded, shortened, rootless = seen
    assert (bounded.deadline, bounded.trace_id) == (outer.deadline, outer.trace_id)
    assert bounded.span_id != outer.span_id
    assert shortened.deadline < outer.deadline < rootless.deadline


async def test_what_settings_say_of_one_slice_holds_for_its_requests_from_the_next_table_on(parts: Parts) -> None:
    """A shorter time than the contract gives, and what counts as slow; others keep theirs."""
    given = table(3, ORDERS, STOCK)
    await parts.gateway.apply(given)
    assert parts.rules(b"/orders") == parts.rules(b"/stock") == (5_000, 500_000)
    ruled = msgspec.structs.replace(
        given, revision=4, rules=SliceRules(4_000, 700), rules_of={"orders": SliceRules(200, 20)}
    )
    await parts.gateway.take_table(asked(ruled))
    assert (parts.rules(b"/orders"), parts.rules(b"/stock")) == ((200, 20_000), (4_000, 700_000))
    await parts.gateway.apply(msgspec.structs.replace(given, revision=5, rules=SliceRules(9_000, 500)))
    assert parts.rules(b"/orders") == (5_000, 500_000), "never more than the contract gives"
