"""What a campaign showed, for people and for machines."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class GateReport:
    """`taken_s`: by the point of the kill, from it to the change's end. `failure` is empty when all was kept."""

    seed: int
    cycles: int
    taken_s: dict[str, list[float]] = field(default_factory=dict)
    applied: int = 0
    undone: int = 0
    repeats: int = 0
    """Requests that were sent again, since nobody had answered or somebody else led."""
    records: int = 0
    failure: str = ""

    @property
    def done(self) -> int:
        return sum(len(each) for each in self.taken_s.values())

    @property
    def passed(self) -> bool:
        return not self.failure and self.done > 0

    def lines(self) -> list[str]:
        rows = [f"{'killed while':<12} {'cycles':>6} {'to the end, s':>16}"]
        for point, taken in sorted(self.taken_s.items()):
            rows.append(f"{point:<12} {len(taken):>6} {f'{statistics.median(taken):.1f}/{max(taken):.1f}':>16}")
        rows.append("(median/longest: from the kill to the end of what was asked for)")
        rows.append(
            f"{self.applied} changes applied once each, {self.undone} undone once each, {self.repeats} requests sent"
            f" again, {self.records} records in an audit that holds together"
        )
        verdict = "passed" if self.passed else f"FAILED: {self.failure}"
        return [*rows, f"gate campaign, seed {self.seed}, {self.done} cycles: {verdict}"]

    def figures(self) -> dict[str, object]:
        return {
            "seed": self.seed,
            "cycles": self.done,
            "passed": self.passed,
            "failure": self.failure,
            "applied": self.applied,
            "undone": self.undone,
            "repeats": self.repeats,
            "records": self.records,
            "points": {
                point: {
                    "cycles": len(taken),
                    "end_s_median": round(statistics.median(taken), 2),
                    "end_s_max": round(max(taken), 2),
                }
                for point, taken in sorted(self.taken_s.items())
            },
        }
