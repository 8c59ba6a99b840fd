"""What is kept of one slice's load from second to second."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from controllers.context.minute import MinuteGatherer
from controllers.context.seconds import Plausible
from controllers.scaling.capacity import Capacity, CapacityEstimator, CapacitySeen
from controllers.scaling.signals import LoadSignals
from runtime.telemetry.figures import SliceFigures, VersionFigures
from runtime.telemetry.histogram import Histogram

STALE_S: Final = 5  # the newest second that can be believed may be so old; then nothing is known
HELD_S_MAX: Final = 60  # a gap up to this is bridged with the last rate; after a longer one signals begin anew
LATENCY_TAU_S: Final = 5.0
VERSIONS_MAX: Final = 8  # with a capacity each; those that ran last


class SliceLoad:
    """Fed with each second in turn: what was counted, or that nothing of it can be believed."""

    def __init__(self) -> None:
        self.signals = LoadSignals()
        self.gatherer = MinuteGatherer()
        self.figures: SliceFigures | None = None
        """Of the newest second that can be believed."""
        self.missing_s = 0
        """Seconds since then."""
        self.idle_s = 0.0
        """Since the last call."""
        self.unseen_s = 0
        """Since the slice was last on a node or wanted."""
        self.doubted = ""
        """Why the figures of the newest second cannot be, or can hardly be; a crowd that is the first is no wonder."""
        self._plausible = Plausible()
        self._p95_ms: float | None = None
        self._capacities: dict[str, CapacityEstimator] = {}

    def miss(self, covers_s: int) -> None:
        """Nothing of these seconds is known: no figure is not a figure of nothing."""
        self.missing_s += covers_s
        self.doubted = ""

    def take(self, figures: SliceFigures, covers_s: int, hosts: Mapping[str, int], slo_p95_ms: float) -> str:
        """Why the figures are not believed; empty when they are. covers_s: the seconds that they are of. hosts:
        processes by version."""
        was_called = self._plausible.level > 0
        if doubt := self._doubt(figures, covers_s):
            self.miss(covers_s)
            self.doubted = doubt if was_called else ""
            return doubt
        self.doubted = ""
        self.gatherer.take(figures, covers_s)
        self._feed(figures.calls / covers_s, covers_s)
        self.figures, self.missing_s = figures, 0
        self.idle_s = 0.0 if figures.calls or figures.waiting or figures.refused else self.idle_s + covers_s
        self._note_latency(figures, covers_s)
        self._observe(figures, covers_s, hosts, slo_p95_ms)
        return ""

    def _doubt(self, figures: SliceFigures, covers_s: int) -> str:
        if figures.went_back:
            return "a process counts fewer calls than a second before"
        if figures.calls < 0:
            return f"{figures.calls} calls in {covers_s} s cannot be"
        if not self._plausible.believes(figures.calls, covers_s):
            return f"{figures.calls} calls in {covers_s} s are far more than in the last minutes: believed if they stay"
        return ""

    def _feed(self, rate: float, covers_s: int) -> None:
        if self.missing_s > HELD_S_MAX:
            self.signals = LoadSignals()
        elif self.figures is not None:
            for _ in range(self.missing_s):
                self.signals.take(self.signals.rate)
        for _ in range(covers_s):
            self.signals.take(rate)

    def _note_latency(self, figures: SliceFigures, covers_s: int) -> None:
        """A mean of the seconds' percentiles, the newest counting most; seconds without calls say nothing."""
        if not figures.buckets:
            return
        p95_ms = Histogram(figures.buckets).percentile(0.95) / 1_000
        keep = math.exp(-covers_s / LATENCY_TAU_S) if self._p95_ms is not None else 0.0
        self._p95_ms = p95_ms + keep * ((self._p95_ms or 0.0) - p95_ms)

    def _observe(self, figures: SliceFigures, covers_s: int, hosts: Mapping[str, int], slo_p95_ms: float) -> None:
        """The slice's latency and what waits are all its versions': they tell of one while it serves alone."""
        serving = [version for version, each in figures.versions.items() if each.instances > 0]
        for version in serving:
            each = figures.versions[version]
            is_alone = len(serving) == 1
            seen = CapacitySeen(
                calls=each.calls / covers_s,
                instances=each.instances,
                busy=busy_share(each, covers_s, hosts.get(version, 0)),
                waiting=float(figures.waiting) if is_alone else 0.0,
                latency_p95_ms=self._p95_ms if is_alone and figures.calls else None,
            )
            self._estimator(version).observe(seen, slo_p95_ms=slo_p95_ms)

    def _estimator(self, version: str) -> CapacityEstimator:
        """A version that is new begins where the one that ran last stands, and knows how little that says."""
        known = self._capacities.pop(version, None)
        if known is None:
            newest = next(reversed(self._capacities.values()), None)
            known = newest.renewed() if newest is not None else CapacityEstimator()
            if len(self._capacities) == VERSIONS_MAX:
                del self._capacities[next(iter(self._capacities))]
        self._capacities[version] = known
        return known

    def resume(self, version: str, known: Capacity, age_s: float) -> None:
        """What an earlier process had learnt of a version, where this one has learnt nothing of it."""
        own = self._capacities.get(version)
        if own is None or own.capacity.samples <= 0:
            self._capacities = {version: CapacityEstimator.resumed(known, age_s)} | {
                other: each for other, each in self._capacities.items() if other != version
            }

    def learnt(self) -> dict[str, Capacity]:
        """By version, those that are known, not only to carry so much at least; the one that ran last is last."""
        found = {version: each.capacity for version, each in self._capacities.items()}
        return {name: each for name, each in found.items() if each.samples > 0 and each.low < each.rate_per_instance}

    # -- what is known now ---------------------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        return self.figures is not None and self.missing_s <= STALE_S

    @property
    def rate(self) -> float | None:
        """Calls a second, smoothed; None when it is not known, or too old."""
        return self.signals.rate if self.is_known else None

    @property
    def latency_p95_ms(self) -> float | None:
        return self._p95_ms if self.is_known else None

    def capacity(self, version: str) -> Capacity:
        """Of one that never ran: what a new one would begin with."""
        known = self._capacities.get(version)
        if known is not None:
            return known.capacity
        newest = next(reversed(self._capacities.values()), None)
        return (newest.renewed() if newest is not None else CapacityEstimator()).capacity


def busy_share(figures: VersionFigures, covers_s: int, hosts: int) -> float | None:
    """How much of the scarcest of CPU and calls at once was in use, 0 to 1; None where neither is known.

    All instances of a version on a node share one process, and that one core at most.
    """
    of_cpu = figures.cpu_s / (covers_s * hosts) if hosts and figures.cpu_s > 0 else None
    of_slots = figures.busy_us / (1e6 * covers_s * figures.slots) if figures.slots else None
    known = [share for share in (of_cpu, of_slots) if share is not None and share >= 0]
    return max(known) if known else None
