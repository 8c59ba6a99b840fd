"""What is known of each slice's load, kept current once a second on every node: whoever leads next has it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

from controllers.scaling.model import Forecast
from controllers.scaling.service_rate import ServiceRate
from controllers.scaling.signals import LoadSignals
from runtime.telemetry.figures import SliceFigures
from runtime.telemetry.histogram import Histogram

LATENCY_S: Final = 10  # over which a percentile is taken
GAP_S_MAX: Final = 5  # seconds that were missed: the load is taken to have gone on as it was
ABSURD: Final = 20.0  # times what all instances carry: no figure can be right that says more was done
FORGET_S: Final = 600  # without being seen at all


class Outlook(Protocol):
    """What is known beyond the last seconds: history and forecasts. None while there is none."""

    def forecast(self, slice_name: str) -> Forecast | None: ...

    def day_ago_ratio(self, slice_name: str) -> float | None:
        """How the load went on in these minutes a day ago, as a part of what it was then."""
        ...


class NoOutlook:
    def forecast(self, slice_name: str) -> Forecast | None:
        return None

    def day_ago_ratio(self, slice_name: str) -> float | None:
        return None


class SliceWatch:
    """Of one slice. Counts seconds, not the time of a clock that may jump."""

    def __init__(self) -> None:
        self.signals = LoadSignals()
        self.capacity = ServiceRate()
        self.trouble = "nothing is known yet"
        """Why the last second's figures cannot be used; empty while they can."""
        self.idle_s = 0
        self.waiting = 0.0
        self.errors_share = 0.0
        self.unseen_s = 0
        self.seconds = 0
        self.violated_s = 0
        """Of `seconds` in which calls were made: those with a 95th percentile above the SLO, as `slo_p95_ms` was."""
        self.called_s = 0
        self._buckets: deque[dict[int, int]] = deque(maxlen=LATENCY_S)
        self._missed = 0

    def take(self, figures: SliceFigures | None, *, incomplete: bool, slo_p95_ms: float) -> None:
        """One second. incomplete: a node that hosts it was not heard of, so that the figures are only a part."""
        self.seconds += 1
        self.unseen_s = self.unseen_s + 1 if figures is None else 0
        self.trouble = self._trouble(figures, incomplete=incomplete)
        if self.trouble or figures is None:
            self._missed += 1
            return
        for _ in range(min(self._missed, GAP_S_MAX)):
            self.signals.take(self.signals.rate)
        self._missed = 0
        self.signals.take(figures.calls)
        self.capacity.take(figures)
        self.waiting = float(figures.waiting + figures.rejected)
        self.errors_share = figures.errors / figures.calls if figures.calls else 0.0
        self.idle_s = 0 if figures.calls or self.waiting else self.idle_s + 1
        self._buckets.append(figures.buckets)
        self._judge(figures, slo_p95_ms)

    def _trouble(self, figures: SliceFigures | None, *, incomplete: bool) -> str:
        if figures is None:
            return "there are no figures"
        if incomplete:
            return "a node that hosts it was not heard of"
        numbers = (figures.calls, figures.errors, figures.rejected, figures.waiting, figures.busy_us)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            return "figures are below 0, or no numbers"
        carried = self.capacity.rate_per_instance
        most = ABSURD * carried * max(1, figures.instances)
        if carried and figures.calls > most:
            return f"{figures.calls} calls in a second are more than its instances can have done"
        return ""

    def _judge(self, figures: SliceFigures, slo_p95_ms: float) -> None:
        if figures.calls:
            self.called_s += 1
            latency = self.latency_p95_ms()
            self.violated_s += latency is not None and latency > slo_p95_ms

    def latency_p95_ms(self) -> float | None:
        """Of the last seconds' calls; None where there were none."""
        merged = Histogram()
        for buckets in self._buckets:
            merged.merge(Histogram(buckets))
        return merged.percentiles((0.95,))[0] / 1_000 if merged.count else None


class Watches:
    """All slices."""

    def __init__(self) -> None:
        self._known: dict[str, SliceWatch] = {}

    def take(
        self, slices: Mapping[str, SliceFigures], *, incomplete: frozenset[str], slo_p95_ms: Mapping[str, float]
    ) -> None:
        """One second of the cluster. incomplete: slices of which not all nodes were heard. slo_p95_ms: of each slice
        that is deployed."""
        for name in {*slices, *self._known}:
            watch = self._known.get(name)
            if watch is None:
                watch = self._known[name] = SliceWatch()
            watch.take(slices.get(name), incomplete=name in incomplete, slo_p95_ms=slo_p95_ms.get(name, math.inf))
            if watch.unseen_s > FORGET_S:
                del self._known[name]

    def of(self, slice_name: str) -> SliceWatch | None:
        return self._known.get(slice_name)
