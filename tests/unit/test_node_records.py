"""A node's record has several writers: none of them undoes what another wrote at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

import anyio
import msgspec
import pytest

from runtime.clock import SystemClock
from runtime.cluster.leaving import MARK_TRIES_MAX, Leaving, NotMember, mark_leaving
from runtime.cluster.membership import Membership, Publisher
from runtime.consensus.cache import StoreCache
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Compare, Delete, GetResult, LeaseId, Operation, Put, Store, TxnResult
from runtime.deployment.errors import ChangedMeanwhile
from runtime.deployment.view import PREFIXES, StateView
from runtime.invocation.context import CallContext
from runtime.invocation.incoming import IncomingCall
from runtime.names import NodeId, SliceName
from runtime.state import keys
from runtime.state.values import Addresses, InstanceAssignment, NodeRecord, decode, encode
from tests.unit.gate_parts import target

pytestmark = pytest.mark.anyio

N1 = NodeId("n1")
RECORD = NodeRecord(node=N1, role="core", zone="a", addresses=Addresses(http="", api="", peer="", control=""))


class Interrupted:
    """A store where somebody else writes between what was read and what is written, `times` times."""

    def __init__(self, store: MemoryStore, meanwhile: Callable[[], Awaitable[object]], *, times: int = 1) -> None:
        self._store, self._meanwhile, self._left = store, meanwhile, times

    async def get(self, key: str) -> GetResult:
        return await self._store.get(key)

    async def grant(self, _ttl_ms: int) -> LeaseId:
        return await self._store.grant(3_600_000)

    async def keep_alive(self, lease: LeaseId) -> None:
        await self._store.keep_alive(lease)

    async def txn(self, compare: Sequence[Compare], then: Sequence[Operation]) -> TxnResult:
        if self._left:
            self._left -= 1
            await self._meanwhile()
        return await self._store.txn(compare, then)


@pytest.fixture
async def view() -> AsyncIterator[tuple[MemoryStore, StateView]]:
    store = MemoryStore()
    await write(store, RECORD)
    cache = StoreCache(store, PREFIXES)
    following = asyncio.create_task(cache.run())
    await cache.ready()
    yield store, StateView(cache)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def write(store: MemoryStore, record: NodeRecord) -> None:
    await store.txn((), [Put(key=keys.node(record.node), value=encode(record))])


def stands(store: MemoryStore) -> NodeRecord:
    return decode(store.items[keys.node(N1)].value, NodeRecord)


def cordons(store: MemoryStore) -> Callable[[], Awaitable[object]]:
    return lambda: write(store, msgspec.structs.replace(stands(store), cordoned=True))


async def test_a_node_marked_as_leaving_while_it_is_cordoned_is_both(view: tuple[MemoryStore, StateView]) -> None:
    store, state = view
    await mark_leaving(cast("Store", Interrupted(store, cordons(store))), state, N1)
    assert (stands(store).leaving, stands(store).cordoned) == (True, True)
    assert state.node(N1) == stands(store), "whoever marked it reads the mark at once"


async def test_a_node_that_is_leaving_already_is_not_written_again(view: tuple[MemoryStore, StateView]) -> None:
    store, state = view
    await mark_leaving(store, state, N1)
    revision = store.engine.machine.revision
    await mark_leaving(store, state, N1)
    assert store.engine.machine.revision == revision


async def test_a_record_that_never_rests_ends_with_an_error_that_may_be_retried(
    view: tuple[MemoryStore, StateView],
) -> None:
    store, state = view
    zones = iter(f"z{number}" for number in range(MARK_TRIES_MAX))
    restless = Interrupted(
        store,
        lambda: write(store, msgspec.structs.replace(stands(store), zone=next(zones))),
        times=MARK_TRIES_MAX,
    )
    with pytest.raises(ChangedMeanwhile):
        await mark_leaving(cast("Store", restless), state, N1)
    assert not stands(store).leaving


async def test_a_node_that_nobody_knows_cannot_leave(view: tuple[MemoryStore, StateView]) -> None:
    store, state = view
    with pytest.raises(NotMember):
        await mark_leaving(store, state, NodeId("n9"))


class Silent:
    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...


async def test_a_node_that_registers_while_it_is_cordoned_stays_cordoned() -> None:
    store = MemoryStore()
    await write(store, msgspec.structs.replace(RECORD, leaving=True))
    seen = cast("Store", Interrupted(store, cordons(store)))
    membership = Membership(store=seen, record=RECORD, publisher=Publisher(seen), clock=SystemClock(), log=Silent())
    await membership._register()
    assert (stands(store).leaving, stands(store).cordoned) == (False, True)


async def test_marks_of_this_start_stay_when_the_lease_is_lost_meanwhile() -> None:
    """A drain that a lost lease undoes would never end."""
    store = MemoryStore()
    membership = Membership(store=store, record=RECORD, publisher=Publisher(store), clock=SystemClock(), log=Silent())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(membership.run)
        await membership.registered()
        await write(store, msgspec.structs.replace(stands(store), leaving=True, shutdown=True))
        await membership._register()
        assert (stands(store).leaving, stands(store).shutdown) == (True, True)
        tasks.cancel_scope.cancel()


async def test_a_node_ends_once_its_record_asks_for_it_and_nothing_is_left_on_it(
    view: tuple[MemoryStore, StateView],
) -> None:
    """Not before: what runs there would be cut off. And not because of what an earlier start was told."""
    store, state = view
    await write(store, msgspec.structs.replace(stands(store), shutdown=True))
    assignment = InstanceAssignment(
        slice="orders", number=0, version="1", artifact_sha256="s", settings=target("orders", 1).settings, generation=1
    )
    key = keys.instance(N1, SliceName("orders"), 0)
    await store.txn((), [Put(key=key, value=encode(assignment))])
    membership = Membership(store=store, record=RECORD, publisher=Publisher(store), clock=SystemClock(), log=Silent())
    ended = anyio.Event()
    tries: list[int] = []

    async def end() -> None:
        tries.append(0)
        ended.set()

    leaving = Leaving(node=N1, store=store, view=state, membership=membership, end=end, log=Silent())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leaving.run)
        tasks.start_soon(membership.run)
        await state.cache.wait_for(await membership.registered())
        assert not stands(store).shutdown
        revision = (
            await store.txn((), [Put(key=keys.node(N1), value=encode(msgspec.structs.replace(RECORD, shutdown=True)))])
        ).revision
        await state.cache.wait_for(revision)
        await anyio.wait_all_tasks_blocked()
        assert not tries
        await store.txn((), [Delete(key=key)])
        with anyio.fail_after(5):
            await ended.wait()
        tasks.cancel_scope.cancel()


async def test_who_stops_a_node_is_told_how_many_instances_are_left_as_soon_as_that_changes(
    view: tuple[MemoryStore, StateView],
) -> None:
    store, state = view
    settings = target("orders", 1).settings
    for number in (0, 1):
        assignment = InstanceAssignment(
            slice="orders", number=number, version="1", artifact_sha256="s", settings=settings, generation=1
        )
        put = Put(key=keys.instance(N1, SliceName("orders"), number), value=encode(assignment))
        await state.cache.wait_for((await store.txn((), [put])).revision)
    membership = Membership(store=store, record=RECORD, publisher=Publisher(store), clock=SystemClock(), log=Silent())
    leaving = Leaving(node=N1, store=store, view=state, membership=membership, end=anyio.sleep_forever, log=Silent())

    async def left(known: int) -> int:
        call = IncomingCall(None, 1, "_control/left", msgspec.msgpack.encode(known), CallContext.root(5.0), 0, False)
        return msgspec.msgpack.decode(await leaving.verbs()["_control/left"](call), type=int)

    assert await left(-1) == 2
    told: list[int] = []

    async def wait() -> None:
        told.append(await left(2))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not told
            await store.txn((), [Delete(key=keys.instance(N1, SliceName("orders"), 0))])
    assert told == [1]
