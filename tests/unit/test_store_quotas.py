"""Quotas: what is refused and what is not, against a model that adds up all keys each time."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.consensus import commands as c
from runtime.consensus import quota_check
from runtime.consensus.machine import Machine
from runtime.consensus.store import Delete, LeaseId, Put
from runtime.state import quotas

KEYS = ["database/s/1", "database/s/é", "database/t/1", "content/1", "content/2", "node/1", "other"]
LIMITS = {"database/s": 40, "database/t": 40, "content": 30, "node": 25, "other": 25}  # bytes by part
TOTAL = 90
RESERVED = 12
BULK = ("database/s", "database/t", "content")


def part_of(key: str) -> str:
    return max((part for part in LIMITS if key == part or key.startswith(part + "/")), key=len)


def weights(items: dict[str, bytes]) -> dict[str, int]:
    found = dict.fromkeys(LIMITS, 0)
    for key, value in items.items():
        found[part_of(key)] += len(key.encode()) + len(value)
    return found


def fits(before: dict[str, bytes], after: dict[str, bytes], limits: dict[str, int], total: int) -> bool:
    """What is over its limit already may be replaced and may shrink; it must not grow."""
    was, would = weights(before), weights(after)
    full = [part for part, limit in limits.items() if would[part] > max(was[part], limit)]
    most = total - RESERVED if any(would[part] > was[part] for part in BULK) else total
    return not full and sum(would.values()) <= max(sum(was.values()), most)


class AgainstASum(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(quotas, "_BY_KIND", {"database": (40, 2), "content": (30, 1)})
        self.patch.setattr(quotas, "_OTHER_BYTES", 25)
        self.patch.setattr(quota_check, "TOTAL_BYTES_MAX", TOTAL)
        self.patch.setattr(quota_check, "RESERVED_BYTES", RESERVED)
        self.limits, self.total = LIMITS, TOTAL
        self.machine = Machine()
        self.items: dict[str, bytes] = {}
        self.leased: dict[int, set[str]] = {}
        self.grants()

    def teardown(self) -> None:
        self.patch.undo()

    def does(self, command: c.Command) -> c.Result:
        return self.machine.apply(c.encode(c.Envelope(command)))

    @rule(
        puts=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9).map(bytes), min_size=1, max_size=4),
        gone=st.sets(st.sampled_from(KEYS), max_size=2),
        leased=st.booleans(),
    )
    def commits(self, puts: dict[str, bytes], gone: set[str], leased: bool) -> None:
        lease = max(self.leased, default=0) if leased else 0
        deletes = [Delete(key=key) for key in sorted(gone - puts.keys())]
        written = [Put(key=key, value=value, lease=LeaseId(lease)) for key, value in puts.items()]
        result = self.does(c.Txn((), (*deletes, *written)))
        if not fits(self.items, self.items | puts, self.limits, self.total):
            assert isinstance(result, c.Failed)
            assert result.code == "quota_exceeded"
            return
        assert isinstance(result, c.Applied)
        self.items |= puts
        self.loses(gone - puts.keys())
        for number, keys in self.leased.items():
            keys.difference_update(puts)
            keys.update(puts if number == lease else ())

    @rule(key=st.sampled_from(KEYS), beyond=st.integers(-1, 2), of_all=st.booleans())
    def fills(self, key: str, beyond: int, of_all: bool) -> None:
        """Up to the limit of the part or of the whole, or a little beyond."""
        others = {each: value for each, value in self.items.items() if each != key}
        room = self.total - sum(weights(others).values())
        if not of_all:
            room = self.limits[part_of(key)] - weights(others)[part_of(key)]
        self.commits(puts={key: bytes(max(0, room - len(key.encode()) + beyond))}, gone=set(), leased=False)

    @rule(key=st.sampled_from(KEYS), other=st.sampled_from(KEYS), moved=st.integers(1, 12), grows_first=st.booleans())
    def moves(self, key: str, other: str, moved: int, grows_first: bool) -> None:
        """What one key loses another gets, in either order."""
        self.fills(key=key, beyond=0, of_all=False)
        if key != other and key in self.items and other in self.items:
            size, moved = len(self.items[other]), min(moved, len(self.items[key]))
            puts = [(key, self.items[key][moved:]), (other, bytes(size + moved))]
            self.commits(puts=dict(reversed(puts) if grows_first else puts), gone=set(), leased=False)

    def loses(self, keys: set[str]) -> None:
        self.items = {key: value for key, value in self.items.items() if key not in keys}
        for held in self.leased.values():
            held.difference_update(keys)

    @precondition(lambda self: len(self.items) > 3)
    @rule(prefix=st.sampled_from(["database/", "content/"]), revokes=st.booleans())
    def loses_many(self, prefix: str, revokes: bool) -> None:
        """By a prefix, or with a lease."""
        if revokes and self.leased:
            lease = min(self.leased)
            self.does(c.Revoke(LeaseId(lease)))
            self.loses(self.leased.pop(lease))
        else:
            self.does(c.Txn((), (Delete(key=prefix, prefix=True),)))
            self.loses({key for key in self.items if key.startswith(prefix)})
        self.grants()

    def grants(self) -> None:
        granted = self.does(c.Grant(500))
        assert isinstance(granted, c.Applied)
        self.leased[granted.lease] = set()

    @precondition(lambda self: len(self.items) > 1)
    @rule()
    def is_restored(self) -> None:
        other = Machine()
        other.restore(list(self.machine.snapshot()))
        self.machine = other

    @precondition(lambda self: len(self.items) > 3)
    @rule(key=st.sampled_from(KEYS), smaller=st.integers(0, 9))
    def has_lower_limits_from_now_on(self, key: str, smaller: int) -> None:
        """As after an update: more may be there than is allowed. It may be replaced by less, and by no more."""
        self.total, self.limits = 30, {**LIMITS, "node": 9, "other": 9}
        self.patch.setattr(quotas, "_OTHER_BYTES", 9)
        self.patch.setattr(quota_check, "TOTAL_BYTES_MAX", self.total)
        if key in self.items:
            self.commits(puts={key: bytes(max(0, len(self.items[key]) - smaller))}, gone=set(), leased=False)

    @invariant()
    def holds_what_was_not_refused(self) -> None:
        assert {item.key: item.value for item in self.machine.keys.below("")} == self.items
        assert {part: weight for part, weight in self.machine.keys.weights.items() if weight} == {
            part: weight for part, weight in weights(self.items).items() if weight
        }


TestAgainstASum = AgainstASum.TestCase
TestAgainstASum.settings = settings(max_examples=100, stateful_step_count=40, derandomize=True)
