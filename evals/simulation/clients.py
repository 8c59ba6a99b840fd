"""Clients of a simulated cluster: they write, swap, lease and watch, repeat what was not answered, and keep account."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final, TypeVar

from evals.linearizability.history import (
    Answer,
    Change,
    Changed,
    Done,
    Found,
    Granted,
    History,
    Listed,
    ReadKey,
    ReadRange,
)
from evals.linearizability.recording import Recorder
from evals.simulation.invariants import Violation
from evals.simulation.world import World
from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.engine import EngineStore
from runtime.consensus.raft.engine import LEASE_TICK_MS_MAX
from runtime.consensus.store import (
    NOW,
    Delete,
    Get,
    GetResult,
    KeyValue,
    LeaseId,
    Operation,
    Put,
    RangeResult,
    Revision,
    present,
    unchanged,
)

T = TypeVar("T")

ANSWER_S: Final = 1.5
GIVE_UP_S: Final = 12.0
SHARED_KEYS: Final = 6
PAIRS: Final = 4
LEASE_TTL_MS: Final = 2_000
CLOCK_ERROR_S: Final = 0.001  # the simulated clocks differ by one in ten thousand


@dataclass(slots=True)
class Account:
    """What clients were promised. `revision_of` holds acknowledged writes of keys that are written once."""

    acknowledged: dict[str, Revision] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    commands: int = 0
    watched: dict[int, tuple[str, ...]] = field(default_factory=dict)  # revision → its events, as first seen
    sums: dict[str, int] = field(default_factory=dict)  # counter → acknowledged increments
    perhaps: Counter[str] = field(default_factory=Counter)  # counter → increments of unknown outcome, or under way
    leases: int = 0
    reads: int = 0
    highest: dict[str, int] = field(default_factory=dict)  # counter → highest value whose write was acknowledged
    history: History = field(default_factory=History)  # of all clients, for the check at the end


class Client:
    """One session, one change at a time, to whichever node answers."""

    def __init__(self, world: World, name: str, account: Account) -> None:
        self.world = world
        self.name = name
        self.account = account
        self._recorder = Recorder(account.history, world.loop.time)
        self._rng = world.rng
        self._numbers = itertools.count(1)
        self._session = 0
        self._node = ""

    async def run(self) -> None:
        works: list[Callable[[], Coroutine[object, object, None]]] = [
            self._write_once,
            self._write_once,
            self._increment,
            self._read,
            self._lease,
            self._pair,
            self._look_around,
        ]
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / 0.04))
            await self._rng.choice(works)()

    # -- work ----------------------------------------------------------------------------------------------------------

    async def _write_once(self) -> None:
        """A key of its own: its version shows whether the write was applied twice."""
        key = f"once/{self.name}/{next(self._numbers)}"
        padding = bytes(self._rng.randrange(200))
        result = await self._change(c.Txn((), (Put(key=key, value=padding),)))
        if result is None:
            self.account.unknown.add(key)
        elif result.txn is not None:
            self.account.acknowledged[key] = result.txn.revision

    async def _increment(self) -> None:
        """Compare and swap on a shared counter: acknowledged increments must all be in it, once."""
        key = f"counter/{self._rng.randrange(SHARED_KEYS)}"
        found = await self._get(key)
        if found is None:
            return
        value, revision = _counted(found.item)
        txn = c.Txn((unchanged(key, revision),), (Put(key=key, value=str(value + 1).encode()),))
        self.account.perhaps[key] += 1
        result = await self._change(txn)
        if result is None:
            return
        self.account.perhaps[key] -= 1
        if result.txn is not None and result.txn.succeeded:
            self.account.sums[key] = self.account.sums.get(key, 0) + 1
            self.account.highest[key] = max(self.account.highest.get(key, 0), value + 1)

    async def _read(self) -> None:
        """A linearizable read sees every increment that was acknowledged before it began."""
        key = f"counter/{self._rng.randrange(SHARED_KEYS)}"
        before = self.account.highest.get(key, 0)
        found = await self._get(key)
        if found is not None:
            self.account.reads += 1
            value, _ = _counted(found.item)
            if value < before:
                raise Violation(f"a read of {key} gave {value} after {before} was acknowledged")

    async def _lease(self) -> None:
        """A key under a lease stands at least as long as its time after the last keep-alive that was begun."""
        ends_s, jumps = self.world.loop.time() + LEASE_TTL_MS / 1_000, self.world.jumps
        granted = await self._change(c.Grant(LEASE_TTL_MS))
        if granted is None:
            return
        key, lease = f"lease/{self.name}", granted.lease
        if await self._change(c.Txn((), (Put(key=key, value=b"", lease=lease),))) is None:
            return
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(self._rng.uniform(0.2, 0.6))
            began_s = self.world.loop.time()
            if await self._change(c.KeepAlive(lease)) is None:
                return
            ends_s = began_s + LEASE_TTL_MS / 1_000
        await asyncio.sleep(self._rng.uniform(0.1, LEASE_TTL_MS / 1_000))
        found = await self._get(key)
        self.account.leases += 1
        ends_s -= (self.world.jumps - jumps) * LEASE_TICK_MS_MAX / 1_000  # the most that a clock that jumps can cost
        if found is not None and self.world.loop.time() < ends_s - CLOCK_ERROR_S:
            self._check_leased(key, found.item, lease, ends_s)

    def _check_leased(self, key: str, item: KeyValue | None, lease: LeaseId, ends_s: float) -> None:
        if item is None:
            raise Violation(f"{key} went {ends_s - self.world.loop.time():.3f} s before its lease could end")
        if item.lease != lease:
            raise Violation(f"{key} has lease {item.lease}, not {lease}")

    async def _pair(self) -> None:
        """Two keys in one transaction, on a condition about one of them."""
        one, other = (f"pair/{self._rng.randrange(PAIRS)}/{side}" for side in "ab")
        value = str(next(self._numbers)).encode()
        writes: list[Operation] = [Put(key=one, value=value), Put(key=other, value=value)]
        if self._rng.random() < 0.2:
            writes = [Delete(key=one.rpartition("/")[0], prefix=True)]
        compare = (present(one),) if self._rng.random() < 0.3 else ()
        await self._change(c.Txn(compare, (Get(key=one), *writes), (Put(key=one, value=value), Get(key=other))))

    async def _look_around(self) -> None:
        """Reads of all kinds; whether they are right is found out at the end."""
        key = f"pair/{self._rng.randrange(PAIRS)}/a"
        match self._rng.randrange(4):
            case 0:
                await self._range(key.removesuffix("/a"))
            case 1:
                await self._get(key, stale_ok=True)
            case 2:
                found = await self._get(key)
                if found is not None and found.revision > 1:
                    await self._get(key, at_revision=Revision(found.revision - self._rng.randrange(5)))
            case _:
                await self._get(key)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def _get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult | None:
        def ask(store: EngineStore) -> Awaitable[GetResult]:
            return store.get(key, at_revision=at_revision, stale_ok=stale_ok)

        request = ReadKey(key, at_revision, stale_ok)
        return await self._recorder.record(self.name, request, self._read_by(ask), _found)

    async def _range(self, prefix: str) -> RangeResult | None:
        asking = self._read_by(lambda store: store.range(prefix))
        return await self._recorder.record(self.name, ReadRange(prefix), asking, _listed)

    async def _read_by(self, ask: Callable[[EngineStore], Awaitable[T]]) -> T | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                store = self.world.store(self._choose())
                await self._travel()
                if store is None:
                    return None
                found = await ask(store)
                await self._travel()
        except (TimeoutError, e.StoreFault):
            self._node = ""
            return None
        return found

    async def _change(self, command: Change) -> c.Applied | None:
        """Repeats until it is answered or given up; None: whether it was applied is not known, or its lease is gone."""
        if not self._session:
            opened = await self._until_answered(c.Envelope(c.OpenSession()))
            if opened is None:
                return None
            self._session = opened.session
        number = next(self._numbers)
        self.account.commands += 1
        asking = self._until_answered(c.Envelope(command, self._session, number, number))
        return await self._recorder.record(self.name, command, asking, lambda applied: _applied(command, applied))

    async def _until_answered(self, envelope: c.Envelope) -> c.Applied | None:
        ends_s = self.world.loop.time() + GIVE_UP_S
        while self.world.loop.time() < ends_s:
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await self._ask(envelope)
            except TimeoutError:
                self._node = ""
            except e.NotLeader as error:
                self._node = error.leader
            except (e.NoQuorum, e.StoreUnavailable, e.Overloaded):
                self._node = ""
            except e.LeaseNotFound:
                return None
            except e.StoreFault as error:
                raise Violation(f"{self.name}: {error.code}: {error}") from error
            await asyncio.sleep(self._rng.uniform(0.01, 0.1))
        return None

    async def _ask(self, envelope: c.Envelope) -> c.Applied:
        store = self.world.store(self._choose())
        await self._travel()
        if store is None:
            raise e.StoreUnavailable("that node is down")
        applied = await store.command(envelope)
        await self._travel()
        return applied

    def _choose(self) -> str:
        live = [name for name, _ in self.world.live()]
        if self._node not in live and live:
            self._node = self._rng.choice(live)
        return self._node

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.0002, 0.003))


class Watcher:
    """Follows everything at one node after the other, from where it stopped: no gap, no duplicate, no disorder."""

    def __init__(self, world: World, account: Account) -> None:
        self.world = world
        self.account = account
        self._next = Revision(1)
        self.events = 0

    async def run(self) -> None:
        while True:
            live = [name for name, _ in self.world.live()]
            if live:
                name = self.world.rng.choice(live)
                try:
                    async with asyncio.timeout(self.world.rng.uniform(0.5, 5.0)):
                        await self._follow(name)
                except TimeoutError:
                    pass
                except e.Compacted as error:
                    self._next = Revision(error.oldest)
            await asyncio.sleep(0.05)

    async def _follow(self, name: str) -> None:
        store = self.world.store(name)
        if store is None:
            return
        node = self.world.nodes[name]
        boots = node.boots
        async for batch in store.watch("", from_revision=self._next):
            if node.engine is None or node.boots != boots:
                return
            if not batch.events:
                continue
            if batch.revision != self._next:
                raise Violation(f"a watch expected revision {self._next} and got {batch.revision}")
            self.events += len(batch.events)
            shown = tuple(f"{event.kind} {event.item.key} {event.item.version}" for event in batch.events)
            known = self.account.watched.setdefault(int(batch.revision), shown)
            if known != shown:
                raise Violation(f"revision {batch.revision} showed {known} at one node and {shown} at another")
            self._next = Revision(batch.revision + 1)


def _counted(item: KeyValue | None) -> tuple[int, Revision]:
    return (int(item.value), item.mod_revision) if item is not None else (0, Revision(0))


def _found(result: GetResult | None) -> Answer | None:
    return Found(result) if result is not None else None


def _listed(result: RangeResult | None) -> Answer | None:
    return Listed(result) if result is not None else None


def _applied(command: Change, applied: c.Applied | None) -> Answer | None:
    if applied is None:
        return None
    if applied.txn is not None:
        return Changed(applied.txn)
    return Granted(applied.lease) if isinstance(command, c.Grant) else Done()
