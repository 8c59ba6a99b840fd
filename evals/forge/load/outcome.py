"""What the generator saw: counts, latencies from the intended send time, and every failure with its cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from runtime.telemetry.histogram import Histogram

FAILURES_LISTED_MAX: Final = 10_000  # counted beyond; 10 000 x 200 B is 2 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`at_s` is seconds since the load began. `sent` is false when no byte of the request left."""

    at_s: float
    node: str
    request: str
    number: int
    cause: str
    sent: bool
    detail: str = ""


@dataclass(slots=True)
class LoadReport:
    """Grows while the load runs."""

    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    latency_us: Histogram = field(default_factory=Histogram)
    by_node: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    duration_s: float = 0.0

    def success(self, node: str, duration_us: int) -> None:
        self.succeeded += 1
        self.by_node[node] += 1
        self.latency_us.record(duration_us)

    def failure(self, failure: Failure) -> None:
        self.failed += 1
        self.causes[failure.cause] += 1
        if len(self.failures) < FAILURES_LISTED_MAX:
            self.failures.append(failure)

    @property
    def failed_share(self) -> float:
        """Of all requests that ended."""
        ended = self.succeeded + self.failed
        return self.failed / ended if ended else 0.0

    def lines(self) -> list[str]:
        """The report for people."""
        quantiles = " · ".join(
            f"p{q:g} {self.latency_us.percentile(q / 100) / 1000:.1f} ms" for q in (50, 90, 99, 99.9)
        )
        rps = self.succeeded / self.duration_s if self.duration_s else 0.0
        rows = [
            f"{self.sent} requests in {self.duration_s:.1f} s ({rps:.0f} answered a second), "
            f"{self.failed} failed ({self.failed_share:.4%})",
            f"latency from the intended send time: {quantiles}",
        ]
        rows += [f"  {count:>6} x {cause}" for cause, count in self.causes.most_common()]
        rows += [
            f"    at {failure.at_s:7.2f} s  {failure.node}  {failure.request} #{failure.number}  {failure.cause}"
            f"{'' if failure.sent else ' (never sent)'}{'  ' + failure.detail if failure.detail else ''}"
            for failure in self.failures[:50]
        ]
        return rows

    def figures(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "sent": self.sent,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "failed_share": self.failed_share,
            "causes": dict(self.causes),
            "p50_us": self.latency_us.percentile(0.5),
            "p99_us": self.latency_us.percentile(0.99),
            "duration_s": self.duration_s,
        }
