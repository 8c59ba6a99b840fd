"""A study: every policy on every trace under both generators, side by side on all cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import msgspec

from evals.scaling.arrivals import Generator
from evals.scaling.metrics import Score, score
from evals.scaling.policies import OURS, chosen
from evals.scaling.run import run
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Trace

BASE: Final = "hpa70"
VIOLATIONS_LEAST: Final = 0.001  # percent: what a ratio of violations counts a run without any as


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    trace: Trace
    policy: str
    generator: Generator
    seed: int
    service: ServiceModel


class Row(msgspec.Struct, frozen=True, kw_only=True):
    trace: str
    policy: str
    generator: str
    score: Score


def tasks(traces: Sequence[Trace], policies: Sequence[str], *, seed: int, service: ServiceModel) -> list[Task]:
    """The longest first, so that no core is left with one at the end."""
    found = [
        Task(trace=trace, policy=policy, generator=generator, seed=seed, service=service)
        for trace in traces
        for generator in Generator
        for policy in policies
    ]
    return sorted(found, key=lambda each: -len(each.trace.load))


def study(work: Sequence[Task], *, jobs: int, told: Callable[[Row], None] = lambda _row: None) -> list[Row]:
    """In the order of trace, generator and policy; `told` hears of each as it is done."""
    found = []
    for row in _rows(work, jobs):
        told(row)
        found.append(row)
    return sorted(found, key=lambda row: (row.trace, row.generator, row.policy))


def _rows(work: Sequence[Task], jobs: int) -> Iterator[Row]:
    if jobs <= 1:
        yield from map(judge, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(judge, work)


def judge(task: Task) -> Row:
    make = chosen(task.policy)[task.policy].make
    history = run(task.trace, task.service, make, task.generator, task.seed)
    return Row(
        trace=task.trace.name,
        policy=task.policy,
        generator=task.generator,
        score=score(history, task.service.slo_s),
    )


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """Of one policy under one generator, over all traces."""

    policy: str
    generator: str
    violation_pct: float
    bad_request_pct: float
    cost_vs_oracle: float
    upsilon: float
    flaps: float


def means(rows: Sequence[Row]) -> list[Means]:
    groups: dict[tuple[str, str], list[Score]] = {}
    for row in rows:
        groups.setdefault((row.generator, row.policy), []).append(row.score)
    return [
        Means(
            policy=policy,
            generator=generator,
            violation_pct=fmean(each.violation_pct for each in scores),
            bad_request_pct=fmean(each.bad_request_pct for each in scores),
            cost_vs_oracle=fmean(each.cost_vs_oracle for each in scores),
            upsilon=fmean(each.upsilon for each in scores),
            flaps=fmean(each.flaps for each in scores),
        )
        for (generator, policy), scores in sorted(groups.items())
    ]


def ratios(found: Sequence[Means]) -> dict[str, dict[str, float]]:
    """By generator: how many times fewer violations than HPA at 70 %, and at which part of its cost."""
    by = {(each.generator, each.policy): each for each in found}
    return {
        str(generator): {
            "violations_hpa70_over_aether": base.violation_pct / max(VIOLATIONS_LEAST, ours.violation_pct),
            "cost_aether_over_hpa70": ours.cost_vs_oracle / base.cost_vs_oracle,
        }
        for generator in Generator
        if (ours := by.get((generator, OURS))) is not None and (base := by.get((generator, BASE))) is not None
    }
