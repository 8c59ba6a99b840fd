"""What each way of scaling did, second by second."""

from __future__ import annotations

from typing import Final

import msgspec

SLO_MS: Final = 500.0
LEARNT: Final = "desk-aether"


class Second(msgspec.Struct, kw_only=True):
    """By when requests were answered. `p95_ms` None: none was."""

    sent_rps: float
    answered: int = 0
    failed: int = 0
    p95_ms: float | None = None
    serving: int = 0
    wanted: int = 0


class Way(msgspec.Struct, kw_only=True):
    """violation_pct: of the seconds with answers, those with a failure or a 95th percentile above the SLO. bad_pct: of
    requests, those that failed or took longer. instance_s: of existing instances, starting ones too."""

    slice: str
    seconds: list[Second]
    sent: int = 0
    bad: int = 0
    p95_ms: float = 0.0
    instances_most: int = 0
    violation_pct: float = 0.0
    bad_pct: float = 0.0
    instance_s: int = 0


class Forecasted(msgspec.Struct, frozen=True, kw_only=True):
    """Of one minute of the run, requests a second; said just before it."""

    at_s: float
    p10: float
    p50: float
    p90: float


class RunResult(msgspec.Struct, kw_only=True):
    nodes: int
    length_s: int
    ways: list[Way]
    forecast: list[Forecasted]


class Account:
    """Of one way. Seconds count from the load's beginning; a request is accounted in the second of its answer."""

    def __init__(self, seconds: int) -> None:
        self._latencies_us: list[list[int]] = [[] for _ in range(seconds)]
        self._failed = [0] * seconds
        self._serving: dict[int, tuple[int, int]] = {}

    def answer(self, at_s: float, succeeded: bool, duration_us: int) -> None:
        second = int(at_s)
        if 0 <= second < len(self._failed):
            if succeeded:
                self._latencies_us[second].append(duration_us)
            else:
                self._failed[second] += 1

    def instances(self, second: int, serving: int, wanted: int) -> None:
        self._serving[second] = (serving, wanted)

    def way(self, slice_name: str, rates: list[float]) -> Way:
        seconds, known = [], (0, 0)
        for at, rate in enumerate(rates):
            known = self._serving.get(at, known)
            found = sorted(self._latencies_us[at])
            seconds.append(
                Second(
                    sent_rps=round(rate, 2),
                    answered=len(found),
                    failed=self._failed[at],
                    p95_ms=round(_p95(found) / 1_000, 1) if found else None,
                    serving=known[0],
                    wanted=known[1],
                )
            )
        return _summed(slice_name, seconds, sorted(each for row in self._latencies_us for each in row))


def _summed(slice_name: str, seconds: list[Second], latencies_us: list[int]) -> Way:
    busy = [each for each in seconds if each.answered or each.failed]
    violated = sum(each.failed > 0 or (each.p95_ms or 0.0) > SLO_MS for each in busy)
    failed = sum(each.failed for each in seconds)
    ended = len(latencies_us) + failed
    bad = failed + sum(each > SLO_MS * 1_000 for each in latencies_us)
    return Way(
        slice=slice_name,
        seconds=seconds,
        sent=ended,
        bad=bad,
        p95_ms=round(_p95(latencies_us) / 1_000, 1) if latencies_us else 0.0,
        instances_most=max(each.wanted for each in seconds),
        violation_pct=round(100 * violated / max(1, len(busy)), 2),
        bad_pct=round(100 * bad / max(1, ended), 2),
        instance_s=sum(each.wanted for each in seconds),
    )


def _p95(ordered: list[int]) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def table(result: RunResult) -> list[str]:
    heading = f"{'slice':<14}{'p95 ms':>9}{'violated s':>12}{'bad requests':>14}{'instance s':>12}{'most':>6}"
    return [heading] + [
        f"{each.slice:<14}{each.p95_ms:>9.0f}{each.violation_pct:>11.2f}%{each.bad_pct:>13.2f}%"
        f"{each.instance_s:>12}{each.instances_most:>6}"
        for each in result.ways
    ]
