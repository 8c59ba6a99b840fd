"""Alerts begin when a figure is above its bound for long enough, end when it is back for as long, and do not flap."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus.store import Delete, Put, Revision
from runtime.state import keys
from runtime.state.values import AlertRecord, AlertThreshold
from runtime.telemetry.alerts import AlertWatch, Streak, decide, streak_of
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand

pytestmark = pytest.mark.anyio

THRESHOLD = AlertThreshold(bound=50.0, for_s=3)


class Watched:
    """A leader that looks each second."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.watch = AlertWatch(
            store=self.hand.store, state=self.hand.state, figures=self.hand.figures, clock=self.hand.clock
        )

    async def begin(self) -> None:
        await self.hand.put(keys.alert_threshold("orders", "p99_ms"), THRESHOLD)

    async def seconds(self, *values: float | None) -> list[bool]:
        """Whether the alert lasts after each second with such a figure."""
        told = []
        for value in values:
            if value is None:
                self.hand.figures.known.clear()
            else:
                self.hand.figures.known["orders", "p99_ms"] = value
            await self.watch.look(self.hand.fence() or Revision(0))
            told.append(self.alert() is not None)
            self.hand.clock.now_ms += 1_000
        return told

    def alert(self) -> AlertRecord | None:
        item = self.hand.state.get(keys.alert("orders", "p99_ms"))
        return msgspec.json.decode(item.value, type=AlertRecord) if item is not None else None


async def watched() -> Watched:
    found = Watched()
    await found.begin()
    return found


async def test_an_alert_begins_and_ends_after_so_many_seconds() -> None:
    at = await watched()
    assert await at.seconds(60, 60, 60, 70) == [False, False, False, True]
    assert at.alert() == AlertRecord(since_unix_ms=START_UNIX_MS, value=70.0, bound=50.0, for_s=3)
    assert await at.seconds(50, 50, 50, 50) == [True, True, True, False]


async def test_a_figure_that_comes_and_goes_neither_begins_nor_ends_an_alert() -> None:
    at = await watched()
    assert not any(await at.seconds(60, 60, 40, 60, 60, 40, 60, 60))
    assert await at.seconds(60, 60) == [False, True]
    assert all(await at.seconds(40, 40, 60, 40, 40, 60))


async def test_a_slice_that_nobody_calls_any_more_has_no_alert() -> None:
    at = await watched()
    assert (await at.seconds(60, 60, 60, 60))[-1]
    assert (await at.seconds(None, None, None, None))[-1] is False


async def test_an_alert_goes_with_its_threshold() -> None:
    at = await watched()
    await at.seconds(60, 60, 60, 60)
    await at.hand.store.txn((), [Delete(key=keys.alert_threshold("orders", "p99_ms"))])
    assert await at.seconds(60) == [False]


async def test_a_threshold_that_cannot_be_read_keeps_no_other_from_being_watched() -> None:
    at = await watched()
    await at.hand.store.txn((), [Put(key=keys.alert_threshold("a", "p99_ms"), value=b"{}")])
    assert (await at.seconds(60, 60, 60, 60))[-1]


async def test_who_does_not_lead_any_more_writes_nothing() -> None:
    at = await watched()
    leads = at.hand.fence()
    assert leads is not None
    at.hand.figures.known["orders", "p99_ms"] = 60
    for _ in range(5):
        await at.watch.look(Revision(leads + 1))
        at.hand.clock.now_ms += 1_000
    assert at.alert() is None


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=40), st.integers(1, 5))
def test_an_alert_lasts_only_between_streaks_that_were_long_enough(figures: list[float | None], for_s: int) -> None:
    """Of every history: what fires was above for that long, and what ends was back for that long."""
    threshold = AlertThreshold(bound=50.0, for_s=for_s)
    streak: Streak | None = None
    firing = False
    for second, value in enumerate(figures):
        streak = streak_of(streak, threshold, value, second * 1_000)
        decision = decide(streak, threshold, firing=firing, now_unix_ms=second * 1_000)
        if not decision:
            continue
        lately = figures[second - for_s : second + 1]
        above = [each is not None and each > 50.0 for each in lately]
        assert len(lately) == for_s + 1
        assert all(above) if decision == "fire" else not any(above)
        firing = decision == "fire"
