"""Quotas: what is refused and what is not, against a model that adds up all keys each time."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.consensus import commands as c
from runtime.consensus import quota_check
from runtime.consensus.machine import Machine
from runtime.consensus.store import Delete, LeaseId, Put
from runtime.state import quotas

KEYS = ["database/s/1", "database/s/é", "database/t/1", "content/1", "content/2", "node/1", "other"]
LIMITS = {"database/s": 40, "database/t": 40, "content": 30, "node": 25, "other": 25}  # bytes by part
TOTAL = 90


def part_of(key: str) -> str:
    return max((part for part in LIMITS if key == part or key.startswith(part + "/")), key=len)


def weights(items: dict[str, bytes]) -> dict[str, int]:
    found = dict.fromkeys(LIMITS, 0)
    for key, value in items.items():
        found[part_of(key)] += len(key.encode()) + len(value)
    return found


def fits(before: dict[str, bytes], after: dict[str, bytes], limits: dict[str, int]) -> bool:
    """What is over its limit already may be replaced and may shrink; it must not grow."""
    was, would = weights(before), weights(after)
    full = [part for part, limit in limits.items() if would[part] > max(was[part], limit)]
    return not full and sum(would.values()) <= max(sum(was.values()), TOTAL)


class AgainstASum(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(quotas, "_BY_KIND", {"database": (40, 2), "content": (30, 1)})
        self.patch.setattr(quotas, "_OTHER_BYTES", 25)
        self.patch.setattr(quota_check, "TOTAL_BYTES_MAX", TOTAL)
        self.limits = LIMITS
        self.machine = Machine()
        self.items: dict[str, bytes] = {}
        self.leased: dict[int, set[str]] = {}

    def teardown(self) -> None:
        self.patch.undo()

    def does(self, command: c.Command) -> c.Result:
        return self.machine.apply(c.encode(c.Envelope(command)))

    @rule(
        puts=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 30).map(bytes), min_size=1, max_size=4),
        gone=st.sets(st.sampled_from(KEYS), max_size=2),
        data=st.data(),
    )
    def commits(self, puts: dict[str, bytes], gone: set[str], data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from([0, *self.leased]))
        operations = [Delete(key=key) for key in sorted(gone - puts.keys())]
        written = [Put(key=key, value=value, lease=LeaseId(lease)) for key, value in puts.items()]
        result = self.does(c.Txn((), (*operations, *written)))
        if not fits(self.items, self.items | puts, self.limits):
            assert isinstance(result, c.Failed)
            assert result.code == "quota_exceeded"
            return
        assert isinstance(result, c.Applied)
        self.items |= puts
        self.loses(gone - puts.keys())
        for number, keys in self.leased.items():
            keys.difference_update(puts)
            keys.update(puts if number == lease else ())

    def loses(self, keys: set[str]) -> None:
        self.items = {key: value for key, value in self.items.items() if key not in keys}
        for held in self.leased.values():
            held.difference_update(keys)

    @rule(prefix=st.sampled_from(["database/", "content/", "node/"]))
    def deletes_all_below(self, prefix: str) -> None:
        self.does(c.Txn((), (Delete(key=prefix, prefix=True),)))
        self.loses({key for key in self.items if key.startswith(prefix)})

    @rule()
    def grants(self) -> None:
        result = self.does(c.Grant(500))
        assert isinstance(result, c.Applied)
        self.leased[result.lease] = set()

    @rule(data=st.data())
    def a_lease_ends(self, data: st.DataObject) -> None:
        if self.leased:
            lease = data.draw(st.sampled_from(sorted(self.leased)))
            self.does(c.Revoke(LeaseId(lease)))
            self.loses(self.leased.pop(lease))

    @rule()
    def is_restored(self) -> None:
        other = Machine()
        other.restore(list(self.machine.snapshot()))
        self.machine = other

    @rule(others=st.sampled_from([25, 12]))
    def has_another_limit_from_now_on(self, others: int) -> None:
        """A new release may lower one, and then more may be there than it allows."""
        self.patch.setattr(quotas, "_OTHER_BYTES", others)
        self.limits = {**LIMITS, "node": others, "other": others}

    @invariant()
    def holds_what_was_not_refused(self) -> None:
        assert {item.key: item.value for item in self.machine.keys.below("")} == self.items
        assert {part: weight for part, weight in self.machine.keys.weights.items() if weight} == {
            part: weight for part, weight in weights(self.items).items() if weight
        }


TestAgainstASum = AgainstASum.TestCase
TestAgainstASum.settings = settings(max_examples=60, stateful_step_count=25, derandomize=True)
