"""What ours is held to beside Kubernetes' HPA, and how near it comes: of one study, by generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from evals.scaling.arrivals import Generator
from evals.scaling.policies import OURS
from evals.scaling.study import BASE, VIOLATIONS_LEAST, Means, Row

AMPLE: Final = "hpa50"
FEWER: Final = {Generator.RAMP: (5.0, 10.0), Generator.STEP: (3.0, 6.0)}  # violations of HPA over ours: must, aim


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """at_most: the value shall not be above its bounds, else not below. None: there is no such bound."""

    generator: str
    name: str
    value: float
    must: float | None = None
    aim: float | None = None
    at_most: bool = True

    @property
    def verdict(self) -> str:
        if self._holds(self.must) and self._holds(self.aim):
            return "reached"
        if self._holds(self.must) and self.must is not None:
            return "reached, the aim not"
        return "missed" if self.must is not None else "the aim not"

    def _holds(self, bound: float | None) -> bool:
        return bound is None or (self.value <= bound if self.at_most else self.value >= bound)


def targets(rows: Sequence[Row], found: Sequence[Means]) -> list[Target]:
    """Those that the study's policies allow to be judged."""
    by = {(each.generator, each.policy): each for each in found}
    return [
        target
        for generator in Generator
        if (ours := by.get((generator, OURS))) is not None
        for target in _of(generator, ours, by.get((generator, BASE)), by.get((generator, AMPLE)), rows)
    ]


def _of(
    generator: Generator, ours: Means, base: Means | None, ample: Means | None, rows: Sequence[Row]
) -> Iterator[Target]:
    violated = max(VIOLATIONS_LEAST, ours.violation_pct)
    if base is not None:
        must, aim = FEWER[generator]
        fewer, cost = base.violation_pct / violated, ours.cost_vs_oracle / base.cost_vs_oracle
        name = "violations_hpa70_over_aether"
        yield Target(generator=generator, name=name, value=fewer, must=must, aim=aim, at_most=False)
        yield Target(generator=generator, name="cost_aether_over_hpa70", value=cost, must=0.97, aim=0.95)
        worse = float(len(worse_in_both(rows, generator)))
        yield Target(generator=generator, name="traces_worse_than_hpa70_in_both", value=worse, must=0.0)
    if ample is not None:
        fewer = violated / max(VIOLATIONS_LEAST, ample.violation_pct)
        cost = ours.cost_vs_oracle / ample.cost_vs_oracle
        yield Target(generator=generator, name="violations_aether_over_hpa50", value=fewer, must=1.0)
        yield Target(generator=generator, name="cost_aether_over_hpa50", value=cost, must=0.67)
    yield Target(generator=generator, name="violation_pct", value=ours.violation_pct, aim=0.3)
    yield Target(generator=generator, name="cost_vs_oracle", value=ours.cost_vs_oracle, aim=1.35)


def worse_in_both(rows: Sequence[Row], generator: Generator) -> list[str]:
    """Traces on which ours breaks the SLO more often than HPA at 70 %, and costs more."""
    by = {(row.trace, row.policy): row.score for row in rows if row.generator == generator}
    return [
        trace
        for trace, policy in by
        if policy == OURS
        and (base := by.get((trace, BASE))) is not None
        and by[trace, OURS].violation_pct > base.violation_pct
        and by[trace, OURS].cost_vs_oracle > base.cost_vs_oracle
    ]
