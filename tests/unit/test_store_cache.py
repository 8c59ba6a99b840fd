"""A cache and its readers, step by step, against a model that remembers the store of every revision whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.consensus.cache import StoreCache
from runtime.consensus.errors import Compacted, StoreUnavailable
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import (
    NO_LEASE,
    NOW,
    Delete,
    KeyValue,
    LeaseId,
    Operation,
    Put,
    RangeResult,
    Revision,
    WatchBatch,
)

PREFIXES = ("a/", "b/")
KEYS = ["a/1", "a/2", "a/3", "b/1", "b/2", "elsewhere"]
RECENT = 3
PAGE = 2
SOON = 400  # turns of the loop: more than any load and any lag here takes
Picture = dict[str, KeyValue]


class Turning(MemoryStore):
    """Small pages with a turn of the loop behind each, and a connection that can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False

    async def range(
        self, prefix: str, *, after: str = "", limit: int = PAGE, at_revision: Revision = NOW, stale_ok: bool = False
    ) -> RangeResult:
        self.check()
        page = await super().range(prefix, after=after, limit=PAGE, at_revision=at_revision, stale_ok=stale_ok)
        await asyncio.sleep(0)
        self.check()
        return page

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        async for batch in super().watch(prefix, from_revision=from_revision):
            self.check()
            yield batch
            await asyncio.sleep(0)

    def check(self) -> None:
        if self.is_cut:
            raise StoreUnavailable("cut")


class Reader:
    """Folds what `changes` tells upon what it read, and reads anew when told to."""

    def __init__(self, cache: StoreCache) -> None:
        self.cache = cache
        self.times_told = 0
        self.read()

    def read(self) -> None:
        self.changes = self.cache.changes()
        self.revision, self.shown = self.cache.revision, shown(self.cache)

    async def take(self) -> None:
        """One batch, if there is one."""
        try:
            batch = await anext(self.changes)
        except Compacted:
            self.times_told += 1
            self.read()
            return
        assert batch.revision > self.revision
        self.revision = batch.revision
        for event in batch.events:
            assert (event.item.key in self.shown) or event.kind == "put", "a deletion of what was not there"
            self.shown.pop(event.item.key, None)
            if event.kind == "put":
                self.shown[event.item.key] = event.item


def shown(cache: StoreCache) -> Picture:
    return {item.key: item for item in cache.items("")}


class AgainstEveryPicture(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = Turning()
        self.pictures: dict[int, Picture] = {0: {}}
        self.leases: list[LeaseId] = []
        self.remember()
        self.cache = StoreCache(self.store, PREFIXES, recent_max=RECENT, retry_s=0)
        self.running = self.loop.create_task(self.cache.run())
        self.reader = Reader(self.cache)
        self.reading: asyncio.Task[None] | None = None

    def teardown(self) -> None:
        tasks = [each for each in (self.running, self.reading) if each is not None]
        for each in tasks:
            each.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def remember(self) -> None:
        items = self.store.items
        self.pictures[self.newest()] = {key: items[key] for key in sorted(items) if key.startswith(PREFIXES)}

    def newest(self) -> Revision:
        return self.store.engine.machine.revision

    def does(self, *operations: Operation) -> None:
        self.loop.run_until_complete(self.store.txn([], operations))
        self.remember()

    # -- the store -----------------------------------------------------------------------------------------------------

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1), leased=st.booleans(), data=st.data())
    def puts(self, keys: set[str], leased: bool, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases)) if leased and self.leases else NO_LEASE
        self.does(*(Put(key=key, value=b"", lease=lease) for key in sorted(keys)))

    @rule(key=st.sampled_from(KEYS))
    def deletes(self, key: str) -> None:
        self.does(Delete(key=key))

    @rule(prefix=st.sampled_from(PREFIXES))
    def deletes_all_below(self, prefix: str) -> None:
        self.does(Delete(key=prefix, prefix=True))

    @rule()
    def grants(self) -> None:
        self.leases.append(self.loop.run_until_complete(self.store.grant(500)))

    @rule()
    def leases_end(self) -> None:
        self.leases.clear()
        for _ in range(2):  # the first tick after a grant began before it
            self.store.engine.advance(500)
            self.remember()

    @rule()
    def compacts(self) -> None:
        self.loop.run_until_complete(self.store.compact(self.newest()))

    @rule()
    def is_cut_or_mended(self) -> None:
        self.store.is_cut = not self.store.is_cut

    # -- the cache -----------------------------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 12))
    def goes_on(self, turns: int) -> None:
        for _ in range(turns):
            self.turn()

    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        if self.reading is not None and self.reading.done():
            self.reading.result()
            self.reading = None

    @precondition(lambda self: self.reading is None)
    @rule()
    def is_read(self) -> None:
        """Takes one batch; while there is none, this waits beside all that follows."""
        self.reading = self.loop.create_task(self.reader.take())

    @rule()
    def catches_up(self) -> None:
        self.store.is_cut = False
        for _ in range(SOON):
            if self.cache.revision == self.newest() and not self.cache.stale and self.reader.shown == shown(self.cache):
                return
            if self.reading is None:
                self.is_read()
            self.turn()
            self.shows_the_store_of_its_revision()
        raise AssertionError(f"at {self.cache.revision} of {self.newest()} after {SOON} turns")

    @invariant()
    def shows_the_store_of_its_revision(self) -> None:
        assert shown(self.cache) == self.pictures[self.cache.revision]
        assert self.reader.shown == self.pictures[self.reader.revision]
        assert all(self.cache.get(key) == self.pictures[self.cache.revision].get(key) for key in KEYS)

    @invariant()
    def knows_when_each_kind_changed(self) -> None:
        """Who made something of one kind's keys as they were at a revision makes it anew once they differ."""
        for prefix in PREFIXES:
            now = of_kind(self.pictures[self.cache.revision], prefix)
            other = [
                at for at, then in self.pictures.items() if at < self.cache.revision and of_kind(then, prefix) != now
            ]
            assert self.cache.changed_among((prefix,)) > max(other, default=-1)


def of_kind(picture: Picture, prefix: str) -> Picture:
    return {key: item for key, item in picture.items() if key.startswith(prefix)}


TestAgainstEveryPicture = AgainstEveryPicture.TestCase
TestAgainstEveryPicture.settings = settings(max_examples=60, stateful_step_count=30, derandomize=True)


@pytest.mark.anyio
async def test_a_reader_that_lags_too_far_is_told_and_then_has_everything() -> None:
    """It must never go on as if what it missed had not been."""
    store = MemoryStore()
    cache = StoreCache(store, PREFIXES, recent_max=RECENT)
    running = asyncio.ensure_future(cache.run())
    await cache.ready()
    reader = Reader(cache)
    for number in range(RECENT + 2):
        done = await store.txn([], [Put(key=f"a/{number}", value=b"")])
        await cache.wait_for(done.revision)
    while reader.revision < done.revision:
        await reader.take()
    assert (reader.times_told, reader.shown) == (1, shown(cache))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_who_waits_for_some_kinds_of_keys_is_not_woken_by_others() -> None:
    """What decides about instances must not look at all of them for each vote on a proposal."""
    store = MemoryStore()
    cache = StoreCache(store, PREFIXES)
    running = asyncio.ensure_future(cache.run())
    await cache.ready()
    waiting = asyncio.ensure_future(cache.changed(cache.revision, among=("a/",)))
    woken_by_any = asyncio.ensure_future(cache.changed(cache.revision))
    done = await store.txn([], [Put(key="b/1", value=b"")])
    await cache.wait_for(done.revision)
    assert await woken_by_any == done.revision
    assert (waiting.done(), cache.changed_among(("a/",)) < done.revision) == (False, True)
    done = await store.txn([], [Put(key="a/1", value=b"")])
    assert await asyncio.wait_for(waiting, 5) == done.revision == cache.changed_among(PREFIXES)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Asked(MemoryStore):
    """Notes how each page is asked for; a compaction comes behind the first."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, bool]] = []

    async def range(
        self, prefix: str, *, after: str = "", limit: int = PAGE, at_revision: Revision = NOW, stale_ok: bool = False
    ) -> RangeResult:
        self.asked.append((at_revision, stale_ok))
        page = await super().range(prefix, after=after, limit=PAGE, at_revision=at_revision, stale_ok=stale_ok)
        if len(self.asked) == 1:
            done = await self.txn([], [Put(key="a/0", value=b"")])
            await self.compact(done.revision)
        return page


@pytest.mark.anyio
async def test_a_picture_that_is_compacted_while_it_is_read_is_begun_again_from_a_majority() -> None:
    """Not from any member as it stands, which may be behind."""
    store = Asked()
    done = await store.txn([], [Put(key=f"a/{number}", value=b"") for number in range(PAGE + 1)])
    cache = StoreCache(store, ["a/"])
    running = asyncio.ensure_future(cache.run())
    await cache.ready()
    assert store.asked == [(NOW, False), (done.revision, False), (NOW, False), (done.revision + 1, False)]
    assert shown(cache) == store.items
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class TwoMembers(MemoryStore):
    """The one asked; the other one, which is behind, answers as soon as `behind` is set, and notes that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.other = MemoryStore()
        self.behind = asyncio.Event()
        self.answered = asyncio.Event()

    async def range(
        self, prefix: str, *, after: str = "", limit: int = PAGE, at_revision: Revision = NOW, stale_ok: bool = False
    ) -> RangeResult:
        if not self.behind.is_set():
            return await super().range(prefix, after=after, at_revision=at_revision, stale_ok=stale_ok)
        page = await self.other.range(prefix, after=after, at_revision=at_revision, stale_ok=stale_ok)
        self.answered.set()
        return page

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        if not self.behind.is_set():
            yield WatchBatch(revision=self.engine.machine.revision)
            await self.behind.wait()
            raise StoreUnavailable("the member is gone")
        async for batch in self.other.watch(prefix, from_revision=from_revision):
            yield batch


@pytest.mark.anyio
async def test_a_cache_never_goes_back_to_what_a_member_that_is_behind_knows() -> None:
    """It would show again what was changed, and tell its readers of changes that never were."""
    store = TwoMembers()
    await store.txn([], [Put(key="a/1", value=b"old")])
    await store.other.txn([], [Put(key="a/1", value=b"old")])
    new = await store.txn([], [Put(key="a/1", value=b"new")])
    cache = StoreCache(store, ["a/"], retry_s=0.0)
    running = asyncio.ensure_future(cache.run())
    await cache.ready()
    reader = cache.changes()
    store.behind.set()
    await store.answered.wait()
    for _ in range(SOON):
        await asyncio.sleep(0)
    item = cache.get("a/1")
    assert item is not None
    assert (item.value, cache.revision, cache.stale) == (b"new", new.revision, True)
    await store.other.txn([], [Put(key="a/1", value=b"new")])
    newest = await store.other.txn([], [Put(key="a/1", value=b"newest")])
    assert (await anext(reader)).events[0].item.value == b"newest"
    assert (cache.revision, cache.stale) == (newest.revision, False)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
