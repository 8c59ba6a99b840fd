"""Watches and their progress notices, step by step, against a model that notes what every revision changed."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.consensus.errors import Compacted
from runtime.consensus.machine import Machine
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import NO_LEASE, Delete, LeaseId, Operation, Put, Revision

KEYS = ["a/1", "a/2", "b/1", "c"]
PREFIXES = [("a/",), ("a/", "b/"), ("a/1", "a/"), ("",), ("nothing/",)]
SOON = 200  # turns of the loop: more than any lag here takes
Change = tuple[str, str]  # kind and key


class Watcher:
    """`seen` is what it was told by revision; `told` the newest revision of which it knows that nothing is missing."""

    def __init__(self, store: MemoryStore, prefixes: tuple[str, ...], start: int) -> None:
        self.prefixes, self.start = prefixes, start
        self.seen: dict[int, list[Change]] = {}
        self.told = start - 1
        self.is_lost = False
        self.batches = store.watch(prefixes, from_revision=Revision(start))

    async def take(self) -> None:
        try:
            batch = await anext(self.batches)
        except Compacted:
            self.is_lost = True
            return
        if batch.events:
            assert batch.revision > max(self.seen, default=self.told)
            assert all(event.item.mod_revision == batch.revision for event in batch.events)
            self.seen[batch.revision] = [(event.kind, event.item.key) for event in batch.events]
        else:
            assert batch.revision > self.told, "told what it knew"
            self.told = batch.revision


class AgainstAList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.changes: dict[int, list[Change]] = {1: [("put", "_leader")]}
        self.leases: dict[LeaseId, set[str]] = {}
        self.keys: set[str] = set()
        self.gone = 0  # the newest revision that is known no more
        self.watchers: list[Watcher] = []
        self.taking: dict[Watcher, asyncio.Task[None]] = {}

    def teardown(self) -> None:
        for each in list(self.taking.values()):
            each.cancel()
            self.turn()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    @property
    def newest(self) -> int:
        return self.store.engine.machine.revision

    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        for watcher, task in list(self.taking.items()):
            if task.done():
                del self.taking[watcher]
                if not task.cancelled():
                    task.result()

    # -- the store -----------------------------------------------------------------------------------------------------

    def does(self, operations: list[Operation], changes: list[Change]) -> None:
        self.loop.run_until_complete(self.store.txn([], operations))
        if changes:
            self.changes[self.newest] = changes
        for kind, key in changes:
            (self.keys.add if kind == "put" else self.keys.discard)(key)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True), leased=st.booleans())
    def puts(self, keys: list[str], leased: bool) -> None:
        lease = max(self.leases, default=NO_LEASE) if leased else NO_LEASE
        self.does([Put(key=key, value=b"", lease=lease) for key in keys], [("put", key) for key in keys])
        for number, held in self.leases.items():
            held.difference_update(keys)
            held.update(keys if number == lease else ())

    @rule(key=st.sampled_from(KEYS), other=st.sampled_from(KEYS))
    def deletes(self, key: str, other: str) -> None:
        """Nothing is no change."""
        gone = [each for each in dict.fromkeys((key, other)) if each in self.keys]
        self.does([Delete(key=each) for each in dict.fromkeys((key, other))], [("delete", each) for each in gone])
        for held in self.leases.values():
            held.difference_update(gone)

    @rule()
    def grants(self) -> None:
        self.leases[self.loop.run_until_complete(self.store.grant(500))] = set()

    @rule()
    def leases_end(self) -> None:
        """Of one tick, so in one revision; the first tick after a grant began before it."""
        self.store.engine.advance(0)
        self.store.engine.advance(500)
        gone = [key for _, held in sorted(self.leases.items()) for key in sorted(held)]
        if gone:
            self.changes[self.newest] = [("delete", key) for key in gone]
        self.keys.difference_update(gone)
        self.leases.clear()

    @rule(back=st.integers(0, 3))
    def compacts(self, back: int) -> None:
        revision = max(0, self.newest - back)
        self.loop.run_until_complete(self.store.compact(Revision(revision)))
        self.gone = max(self.gone, revision)

    @rule()
    def gets_another_members_snapshot(self) -> None:
        """Of a later revision: what lies between is not known here."""
        other = Machine()
        other.restore(list(self.store.engine.machine.snapshot()))
        other.revision = Revision(other.revision + 2)
        self.gone = other.revision
        self.store.engine.machine.restore(list(other.snapshot()))

    # -- watchers ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.watchers) < 4)
    @rule(prefixes=st.sampled_from(PREFIXES), back=st.integers(-2, 4))
    def one_begins(self, prefixes: tuple[str, ...], back: int) -> None:
        """Also before what is known, and in the future."""
        self.watchers.append(Watcher(self.store, prefixes, max(1, self.newest - back)))

    @precondition(lambda self: self.watchers)
    @rule(data=st.data(), batches=st.integers(1, 4))
    def one_takes(self, data: st.DataObject, batches: int) -> None:
        """While there is nothing to take, it waits beside all that follows."""
        watcher = data.draw(st.sampled_from(self.watchers))
        for _ in range(batches):
            if watcher not in self.taking and not watcher.is_lost:
                self.taking[watcher] = self.loop.create_task(watcher.take())
            self.turn()

    @rule()
    def all_take_all(self) -> None:
        for watcher in self.watchers:
            for _ in range(SOON):
                if watcher.told >= self.newest or watcher.is_lost:
                    break
                if watcher not in self.taking:
                    self.taking[watcher] = self.loop.create_task(watcher.take())
                self.turn()
            else:
                raise AssertionError(f"told up to {watcher.told} of {self.newest} after {SOON} turns")

    @invariant()
    def are_told_each_change_once_and_only_what_they_lack_can_be_lost(self) -> None:
        for watcher in self.watchers:
            newest = max([watcher.told, *watcher.seen])
            wanted = {
                revision: found
                for revision, changes in self.changes.items()
                if watcher.start <= revision <= newest
                and (found := [(kind, key) for kind, key in changes if key.startswith(watcher.prefixes)])
            }
            assert watcher.seen == wanted
            assert watcher.told <= max(self.newest, watcher.start - 1)
            assert not watcher.is_lost or watcher.told < self.gone


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=80, stateful_step_count=40, derandomize=True)
