"""A slice's figures now, beside what is usual of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from runtime.operations.queries.page import Series
from runtime.operations.queries.slices import MetricShown

NOW_S: Final = 15
NEWER_S: Final = 10  # what alerts and playbooks look at
JUST_NOW_S: Final = 6
"""Where all of these seconds are slow it has begun, though most of those that count as now are good still."""
USUAL_QUARTER: Final = 0.25
"""Of the last two hours: what is usual is the quartile, so that a fault of an hour and a half does not pass for it."""
USUAL_LEAST: Final = 0.05
NOISE: Final = 6.0
"""How many times further than its lowest values from the quartile a latency must lie to be more than noise."""
SLOWER: Final = 2.0
SLOWER_MS_MIN: Final = 50.0  # below it nobody notices, and small numbers multiply easily on a busy machine
FAILING_SHARE: Final = 0.02
FAILING_ALWAYS: Final = 0.10
MORE_FAILING: Final = 3.0
MORE_LOAD: Final = 1.5
CALLS_MIN: Final = 0.2  # a second: fewer say nothing of latency
REJECTED_MIN: Final = 0.2  # a second: three in the time that counts as now
MEMORY_S: Final = 5  # it does not come and go as calls do
GREW: Final = 1.5
GREW_MB_MIN: Final = 64.0  # what imports and caches of an instance may come to after its start
GAP_S: Final = 5  # so long may be well amid what is not: figures of single seconds are of few calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Calls and rejections a second, latency in milliseconds, errors as a share, memory of an instance in MiB; None is
    not known. `since_s`: for how long it has been slow, failing or refusing."""

    calls: float | None
    calls_usual: float | None
    p95: float | None
    p95_usual: float | None
    p95_bound: float | None
    errors: float | None
    errors_usual: float | None
    rejected: float
    memory_mb: float | None = None
    memory_mb_usual: float | None = None
    since_s: int | None = None

    @property
    def slow(self) -> bool:
        if self.p95 is None or self.p95_bound is None or (self.calls or 0) < CALLS_MIN:
            return False
        return self.p95 >= self.p95_bound

    @property
    def failing(self) -> bool:
        return self.errors is not None and self.errors >= _errors_bound(self.errors_usual)

    @property
    def refusing(self) -> bool:
        return self.rejected > REJECTED_MIN

    @property
    def loaded(self) -> bool:
        """More calls than usual."""
        return self.calls is not None and self.calls_usual is not None and self.calls >= MORE_LOAD * self.calls_usual

    @property
    def growing(self) -> bool:
        """Its instances take more memory than they used to."""
        if self.memory_mb is None or self.memory_mb_usual is None:
            return False
        return self.memory_mb >= max(GREW * self.memory_mb_usual, self.memory_mb_usual + GREW_MB_MIN)

    @property
    def unwell(self) -> bool:
        return self.slow or self.failing or self.refusing or self.growing

    def in_words(self) -> str:
        parts = []
        if self.slow:
            parts.append(f"p95 is {self.p95:.0f} ms, usually {self.p95_usual:.0f}")
        if self.failing:
            parts.append(f"{self.errors:.1%} of its calls fail, usually {self.errors_usual or 0.0:.1%}")
        if self.refusing:
            parts.append(f"{self.rejected:.1f} calls a second are refused")
        if self.loaded:
            parts.append(f"{self.calls:.1f} calls a second, usually {self.calls_usual:.1f}")
        if self.growing:
            parts.append(f"an instance takes {self.memory_mb:.0f} MiB, usually {self.memory_mb_usual:.0f}")
        return "; ".join(parts)


def figures_of(shown: MetricShown) -> Figures:
    now, long = shown.seconds, shown.ten_seconds
    calls, errors = _mean(_newest(now, "calls")), _mean(_newest(now, "errors"))
    usual_calls, usual_errors = _usual(long, "calls"), _usual(long, "errors")
    p95_bound = _latency_bound(long)
    errors_usual = usual_errors / usual_calls if usual_calls and usual_errors is not None else None
    return Figures(
        calls=calls,
        calls_usual=usual_calls / 10 if usual_calls is not None else None,
        p95=_level(_newest(now, "p95_ms")),
        p95_usual=_usual(long, "p95_ms"),
        p95_bound=p95_bound,
        errors=errors / calls if calls and errors is not None else None,
        errors_usual=errors_usual,
        rejected=_mean(_newest(now, "rejected")) or 0.0,
        memory_mb=_median(_newest(now, "instance_mb")[-MEMORY_S:]),
        memory_mb_usual=_usual(long, "instance_mb"),
        since_s=_since(now, p95_bound, _errors_bound(errors_usual)),
    )


def _errors_bound(usual: float | None) -> float:
    """What is usual of a slice that has failed for long is no excuse for more than a tenth."""
    return max(FAILING_SHARE, min(FAILING_ALWAYS, MORE_FAILING * (usual or 0.0)))


def _latency_bound(series: Series) -> float | None:
    """From which on a latency is more than usual: twice that, some milliseconds more, and clear of its own noise."""
    usual, least = _usual(series, "p95_ms"), _usual(series, "p95_ms", USUAL_LEAST)
    if usual is None or least is None:
        return None
    return usual + max(SLOWER_MS_MIN, (SLOWER - 1) * usual, NOISE * (usual - least))


def _since(series: Series, p95_bound: float | None, errors_bound: float) -> int | None:
    """Seconds since the first of the bad ones that last until now; None where now is good."""
    bad = [
        _is_bad(calls or 0.0, errors or 0.0, rejected or 0.0, p95, p95_bound, errors_bound)
        for calls, errors, rejected, p95 in _rows(series)
    ]
    since, good = None, 0
    for back, each in enumerate(reversed(bad), start=1):
        good = 0 if each else good + 1
        if good > GAP_S:
            break
        if each:
            since = back
    return since


def _is_bad(
    calls: float, errors: float, rejected: float, p95: float | None, p95_bound: float | None, errors_bound: float
) -> bool:
    slow = p95 is not None and p95_bound is not None and p95 >= p95_bound
    return rejected > 0 or slow or (calls > 0 and errors / calls >= errors_bound)


def _rows(series: Series) -> list[tuple[float | None, float | None, float | None, float | None]]:
    names = ("calls", "errors", "rejected", "p95_ms")
    length = max((len(series.get(each, ())) for each in names), default=0)
    columns = [[*((None,) * (length - len(series.get(each, ())))), *series.get(each, ())] for each in names]
    return list(zip(*columns, strict=True))


def _newest(series: Series, name: str) -> list[float]:
    return _known(series.get(name, ())[-NOW_S:])


def _usual(series: Series, name: str, quarter: float = USUAL_QUARTER) -> float | None:
    """The quartile of all but the newest minute."""
    values = sorted(_known(series.get(name, ())[:-6]))
    return values[int(len(values) * quarter)] if values else None


def _known(values: Sequence[float | None]) -> list[float]:
    return [each for each in values if each is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _level(values: Sequence[float]) -> float | None:
    """What most of them are, or of the newer ones, or all of the newest, whichever is most."""
    if not values:
        return None
    newest = min(values[-JUST_NOW_S:]) if len(values) > JUST_NOW_S else 0.0
    return max(median(values), median(values[-NEWER_S:]), newest)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
