"""A study: every policy on every trace under both generators, side by side on all cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import msgspec

from evals.scaling.arrivals import Generator
from evals.scaling.drawing import Drawing, drawing
from evals.scaling.metrics import Score, score
from evals.scaling.policies import AS_SHIPPED, OURS, Made, chosen
from evals.scaling.run import run_shared
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Trace

BASE: Final = "hpa70"
VIOLATIONS_LEAST: Final = 0.001  # percent: what a ratio of violations counts a run without any as


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`traces` are slices that share nodes; mostly it is one alone. `made`: what ours decides with."""

    traces: tuple[Trace, ...]
    policy: str
    generator: Generator
    seed: int
    service: ServiceModel
    made: Made = AS_SHIPPED
    drawn: bool = False
    """Whether rows carry what a plot needs."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    trace: str
    policy: str
    generator: str
    score: Score
    drawing: Drawing | None = None


def tasks(
    traces: Sequence[Trace],
    policies: Sequence[str],
    *,
    seed: int,
    service: ServiceModel,
    shared_by: int = 1,
    made: Mapping[str, Made] = {},
    drawn: bool = False,
) -> list[Task]:
    """The longest first, so that no core is left with one at the end. shared_by: so many slices share the nodes; made:
    by origin, what ours decides with where it is not what ships."""
    groups = [tuple(traces[at : at + shared_by]) for at in range(0, len(traces), shared_by)]
    found = [
        Task(
            traces=group,
            policy=policy,
            generator=generator,
            seed=seed,
            service=service,
            made=made.get(group[0].origin, AS_SHIPPED),
            drawn=drawn,
        )
        for group in groups
        for generator in Generator
        for policy in policies
    ]
    return sorted(found, key=lambda each: -sum(len(trace.load) for trace in each.traces))


def study(work: Sequence[Task], *, jobs: int, told: Callable[[Task], None] = lambda _task: None) -> list[Row]:
    """In the order of trace, generator and policy; `told` hears of each task as it is done."""
    found = []
    for task, rows in _judged(work, jobs):
        told(task)
        found += rows
    return sorted(found, key=lambda row: (row.trace, row.generator, row.policy))


def _judged(work: Sequence[Task], jobs: int) -> Iterator[tuple[Task, list[Row]]]:
    if jobs <= 1:
        yield from ((task, judge(task)) for task in work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for at, rows in pool.imap_unordered(_judge_numbered, enumerate(work)):
            yield work[at], rows


def _judge_numbered(numbered: tuple[int, Task]) -> tuple[int, list[Row]]:
    at, task = numbered
    return at, judge(task)


def judge(task: Task) -> list[Row]:
    """One row a slice."""
    make = chosen(task.policy, task.made)[task.policy].make
    histories = run_shared(task.traces, task.service, make, task.generator, task.seed)
    return [
        Row(
            trace=trace.name,
            policy=task.policy,
            generator=task.generator,
            score=score(history, task.service.slo_s),
            drawing=drawing(history, task.service) if task.drawn else None,
        )
        for trace, history in zip(task.traces, histories, strict=True)
    ]


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
