"""Alerts: a slice's metric that was above its threshold for long enough, until it is back for as long."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

import anyio
import msgspec

from runtime.clock import Clock
from runtime.consensus.store import Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.deployment.records import Snapshot
from runtime.state import keys
from runtime.state.values import AlertRecord, AlertThreshold, decode, encode

LOOK_S: Final = 1.0


class FigureSource(Protocol):
    """Figures of slices, as of the last seconds: telemetry's own, and what controllers publish."""

    def figure(self, slice_name: str, metric: str) -> float | None:
        """None while nothing is known."""
        ...


class Streak(NamedTuple):
    """Since when a metric is above its bound, or is not."""

    above: bool
    since_unix_ms: int


def streak_of(before: Streak | None, threshold: AlertThreshold, value: float | None, now_unix_ms: int) -> Streak:
    """What is not known is not above: a slice that nobody calls any more fails nobody."""
    above = value is not None and value > threshold.bound
    return before if before is not None and before.above == above else Streak(above, now_unix_ms)


def decide(streak: Streak, threshold: AlertThreshold, *, firing: bool, now_unix_ms: int) -> Literal["fire", "end", ""]:
    lasted = now_unix_ms - streak.since_unix_ms >= threshold.for_s * 1_000
    if not lasted or streak.above == firing:
        return ""
    return "fire" if streak.above else "end"


class AlertWatch:
    """`run` is a leader service. After a change of the leader every streak begins anew; alerts that last go on."""

    def __init__(self, *, store: Store, state: Snapshot, figures: FigureSource, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._figures = figures
        self._clock = clock
        self._streaks: dict[tuple[str, ...], Streak] = {}

    async def run(self, fence: Revision) -> None:
        self._streaks.clear()
        while True:
            await self.look(fence)
            await anyio.sleep(LOOK_S)

    async def look(self, fence: Revision) -> None:
        """Once over all thresholds. Raises StoreFault."""
        known = {keys.parts(item.key): item for item in self._state.items(keys.ALERT_THRESHOLDS)}
        self._streaks = {place: streak for place, streak in self._streaks.items() if place in known}
        for place, item in known.items():
            await self._look_at(place, item, fence)
        for item in self._state.items(keys.ALERTS):
            if keys.parts(item.key) not in known:
                await self._store.txn([led_by(fence), unchanged(item.key, item.mod_revision)], [Delete(key=item.key)])

    async def _look_at(self, place: tuple[str, ...], item: KeyValue, fence: Revision) -> None:
        slice_name, metric = place
        now = self._clock.unix_ms()
        try:
            threshold = decode(item.value, AlertThreshold)
        except msgspec.DecodeError:
            return  # of a newer version: left to those that can read it
        value = self._figures.figure(slice_name, metric)
        streak = self._streaks[place] = streak_of(self._streaks.get(place), threshold, value, now)
        key = keys.alert(slice_name, metric)
        match decide(streak, threshold, firing=self._state.get(key) is not None, now_unix_ms=now):
            case "fire":
                assert value is not None, "only what is known is above"
                record = AlertRecord(
                    since_unix_ms=streak.since_unix_ms, value=value, bound=threshold.bound, for_s=threshold.for_s
                )
                change: Operation = Put(key=key, value=encode(record))
            case "end":
                change = Delete(key=key)
            case _:
                return
        await self._store.txn([led_by(fence), unchanged(item.key, item.mod_revision)], [change])
