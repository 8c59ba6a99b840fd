"""The key space and its past, its leases and its watches, against a model that remembers every revision whole."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.consensus import commands as c
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import Compacted, InvalidRequest
from runtime.consensus.machine import Machine
from runtime.consensus.memory import MemoryEngine
from runtime.consensus.store import NO_LEASE, Delete, KeyValue, LeaseId, Put, Revision, absent
from runtime.state.quotas import quota_of

KEYS = ["a", "a/1", "a/1/x", "a/2", "ab", "b/1", "b/é", "database/shop/1", "database/shop/2", "database/x"]
PREFIXES = ["", "a", "a/", "a/1", "b/", "database/shop/", "nothing/"]
Picture = dict[str, KeyValue]


class AgainstEveryPicture(RuleBasedStateMachine):
    """`pictures` holds the state of each revision that can still be read."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = MemoryEngine()
        self.store = EngineStore(self.engine)
        self.pictures: dict[int, Picture] = {0: {}, 1: {item.key: item for item in self.machine.keys.below("")}}
        self.gone = 0  # the newest revision whose changes are not known any more
        self.left: dict[int, int | None] = {}  # lease → what is left; None before its first tick
        self.ttl: dict[int, int] = {}

    @property
    def machine(self) -> Machine:
        return self.engine.machine

    @property
    def newest(self) -> int:
        return max(self.pictures)

    def apply(self, command: c.Command) -> c.Result:
        return self.machine.apply(c.encode(c.Envelope(command)))

    def commits(self, puts: dict[str, tuple[bytes, int]], deleted: set[str]) -> None:
        """What the model makes of it."""
        before, revision = self.pictures[self.newest], Revision(self.newest + 1)
        deleted &= before.keys()
        if not puts and not deleted:
            return
        after = {key: item for key, item in before.items() if key not in deleted}
        for key, (value, lease) in puts.items():
            old = before.get(key)
            after[key] = KeyValue(
                key=key,
                value=value,
                create_revision=old.create_revision if old else revision,
                mod_revision=revision,
                version=old.version + 1 if old else 1,
                lease=LeaseId(lease),
            )
        self.pictures[revision] = after

    @rule(key=st.sampled_from(KEYS[:3] + KEYS), value=st.binary(max_size=9), leased=st.booleans(), data=st.data())
    def puts(self, key: str, value: bytes, leased: bool, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.left))) if leased and self.left else NO_LEASE
        self.apply(c.Txn((), (Put(key=key, value=value, lease=LeaseId(lease)),)))
        self.commits({key: (value, lease)}, set())

    @rule(one=st.sampled_from(KEYS[:5]), other=st.sampled_from(KEYS[5:]), prefix=st.sampled_from(PREFIXES[1:]))
    def deletes(self, one: str, other: str, prefix: str) -> None:
        """A key that a prefix of the same transaction covers is refused, and then nothing changes."""
        result = self.apply(c.Txn((), (Delete(key=one), Delete(key=prefix, prefix=True), Put(key=other, value=b"o"))))
        refused = one.startswith(prefix) or other.startswith(prefix)
        assert isinstance(result, c.Failed) == refused
        if not refused:
            doomed = {key for key in self.pictures[self.newest] if key.startswith(prefix)}
            self.commits({other: (b"o", NO_LEASE)}, doomed | {one})

    @rule(key=st.sampled_from(KEYS))
    def creates_or_deletes(self, key: str) -> None:
        self.apply(c.Txn((absent(key),), (Put(key=key, value=b"new"),), (Delete(key=key),)))
        if key in self.pictures[self.newest]:
            self.commits({}, {key})
        else:
            self.commits({key: (b"new", NO_LEASE)}, set())

    @rule(ttl_ms=st.sampled_from((500, 700, 2_000)))
    def grants(self, ttl_ms: int) -> None:
        result = self.apply(c.Grant(ttl_ms))
        assert isinstance(result, c.Applied)
        assert result.lease not in self.ttl, "an id is never used again"
        self.left[result.lease], self.ttl[result.lease] = None, ttl_ms

    @rule(elapsed_ms=st.sampled_from((0, 100, 499, 500, 3_000)))
    def passes_time(self, elapsed_ms: int) -> None:
        """The first tick after a grant or keep-alive began before it."""
        self.apply(c.Tick(elapsed_ms))
        for lease, left in self.left.items():
            self.left[lease] = self.ttl[lease] if left is None else left - elapsed_ms
        self.ends({lease for lease, left in self.left.items() if left is not None and left <= 0})

    @precondition(lambda self: self.ttl)
    @rule(data=st.data(), revokes=st.booleans())
    def keeps_or_revokes(self, data: st.DataObject, revokes: bool) -> None:
        lease = data.draw(st.sampled_from(sorted(self.ttl)))
        result = self.apply(c.Revoke(LeaseId(lease)) if revokes else c.KeepAlive(LeaseId(lease)))
        assert isinstance(result, c.Failed) == (lease not in self.left and not revokes)
        if revokes:
            self.ends({lease} & self.left.keys())
        elif lease in self.left:
            self.left[lease] = None

    def ends(self, leases: set[int]) -> None:
        for lease in leases:
            del self.left[lease]
        self.commits({}, {key for key, item in self.pictures[self.newest].items() if item.lease in leases})

    @rule(back=st.integers(0, 6))
    def compacts(self, back: int) -> None:
        """Seldom to the newest: what lies just behind the border is what a mistake would take along."""
        compacted = max(0, self.newest - back)
        self.apply(c.Compact(Revision(compacted)))
        self.forgets(compacted)

    def forgets(self, compacted: int) -> None:
        self.gone = max(self.gone, compacted)
        self.pictures = {revision: each for revision, each in self.pictures.items() if revision >= self.gone}

    @precondition(lambda self: self.newest % 4 == 0)
    @rule()
    def is_restored(self) -> None:
        """From then on the copy stands for it: all that follows is the same, but for the past."""
        other = Machine()
        other.restore(list(self.machine.snapshot()))
        assert other.full_hash() == self.machine.full_hash()
        other.changed = self.engine.changes.fire
        self.engine.machine = other
        self.forgets(self.newest)

    @invariant()
    def answers_as_the_pictures_do(self) -> None:
        assert self.machine.revision == self.newest
        for revision in range(max(1, self.gone - 1), self.newest + 2):
            at = Revision(revision)
            if revision < self.gone:
                with pytest.raises(Compacted) as caught:
                    self.machine.check_readable(at)
                assert caught.value.oldest == self.gone
            elif revision > self.newest:
                with pytest.raises(InvalidRequest):
                    self.machine.check_readable(at)
            else:
                self.machine.check_readable(at)
                picture = self.pictures[revision]
                assert list(self.machine.keys.below_at("", at)) == [picture[key] for key in sorted(picture)]
                assert all(self.machine.keys.get_at(key, at) == picture.get(key) for key in KEYS)

    @rule(prefix=st.sampled_from(PREFIXES), limit=st.integers(1, 4), share=st.floats(0, 1), now=st.booleans())
    def is_read_page_by_page(self, prefix: str, limit: int, share: float, now: bool) -> None:
        revision = self.newest if now else max(1, self.gone, int(share * self.newest))
        found: list[KeyValue] = []
        more = True
        while more:
            after = found[-1].key if found else ""
            at = Revision(0 if now else revision)
            page = asyncio.run(self.store.range(prefix, after=after, limit=limit, at_revision=at))
            found += page.items
            more = page.more
            assert len(page.items) == limit or not more
        picture = self.pictures[revision]
        assert found == [picture[key] for key in sorted(picture) if key.startswith(prefix)]

    @rule(prefixes=st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=3).map(tuple), share=st.floats(0, 1))
    def is_watched(self, prefixes: tuple[str, ...], share: float) -> None:
        """What a watch tells, put upon the picture before it, gives the newest, revision by revision."""
        start = int(share * self.newest)
        if start < self.gone:
            with pytest.raises(Compacted):
                self.machine.history.since(prefixes, Revision(start))
            return
        shown = {key: item for key, item in self.pictures[start].items() if key.startswith(prefixes)}
        batches = {each.revision: each for each in self.machine.history.since(prefixes, Revision(start + 1))}
        for revision in range(start + 1, self.newest + 1):
            wanted = {key: item for key, item in self.pictures[revision].items() if key.startswith(prefixes)}
            assert (revision in batches) == (wanted != shown)
            for event in batches.pop(revision).events if revision in batches else ():
                assert event.item.mod_revision == revision
                shown.pop(event.item.key, None)
                if event.kind == "put":
                    shown[event.item.key] = event.item
            assert shown == wanted
        assert not batches

    @invariant()
    def weighs_what_it_holds(self) -> None:
        weights: dict[str, int] = {}
        for key, item in self.pictures[self.newest].items():
            part, _ = quota_of(key)
            weights[part] = weights.get(part, 0) + len(key.encode()) + len(item.value)
        assert {part: weight for part, weight in self.machine.keys.weights.items() if weight} == weights
        assert self.machine.keys.bytes_total == sum(weights.values())

    @invariant()
    def knows_the_keys_of_its_leases(self) -> None:
        held = {number: lease.keys for number, lease in self.machine.leases.all()}
        items = self.pictures[self.newest].values()
        assert held == {lease: {item.key for item in items if item.lease == lease} for lease in self.left}


TestAgainstEveryPicture = AgainstEveryPicture.TestCase
TestAgainstEveryPicture.settings = settings(max_examples=120, stateful_step_count=30, derandomize=True)
