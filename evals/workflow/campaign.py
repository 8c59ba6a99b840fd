"""Story after story: each seed's own, with the leader killed at every write of it in turn, in every way."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice

from evals.planting import planted
from evals.workflow.dying import FATES
from evals.workflow.planted import PLANTS
from evals.workflow.story import Told, told


@dataclass(slots=True, kw_only=True)
class WorkflowCampaign:
    """What many stories showed together."""

    first_seed: int
    seeds: int = 0
    stories: int = 0
    leaders: int = 0
    parked: int = 0
    paused: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    violations: list[Told] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.stories > 0 and not self.violations

    def add(self, story: Told) -> None:
        self.stories += 1
        self.leaders += story.leaders
        self.parked += story.parked
        self.paused += story.paused
        self.ended.update(story.ended)
        self.fates[story.fate] += 1
        if story.violation:
            self.violations.append(story)

    def lines(self) -> list[str]:
        """The report for people."""
        ends = ", ".join(f"{number} {state}" for state, number in sorted(self.ended.items()))
        fates = ", ".join(f"{number} {fate}" for fate, number in sorted(self.fates.items()))
        rows = [
            f"{self.stories} stories of {self.seeds} seeds, {self.leaders} leaders; the write was: {fates}",
            f"runs: {ends}; {self.parked} needed a person on the way, {self.paused} were paused",
        ]
        rows += [f"seed {each.seed}, write {each.at}, {each.fate}: {each.violation}" for each in self.violations[:20]]
        rows.append(f"{len(self.violations)} violations, seeds {self.first_seed} to {self.first_seed + self.seeds - 1}")
        return rows

    def figures(self) -> dict[str, object]:
        """The report for programs."""
        return {
            "passed": self.passed,
            "first_seed": self.first_seed,
            "seeds": self.seeds,
            "stories": self.stories,
            "leaders": self.leaders,
            "parked": self.parked,
            "paused": self.paused,
            "ended": dict(self.ended),
            "fates": dict(self.fates),
            "violations": [f"{each.seed} {each.at} {each.fate}: {each.violation}" for each in self.violations],
        }


def points_of(seed: int) -> Iterator[Told]:
    """The seed's story with every death that there can be in it; first of all the one in which nobody dies."""
    whole = told(seed)
    yield whole
    for at in range(1, whole.writes + 1):
        for fate in FATES:
            yield told(seed, at, fate)


def sample_of(seed: int) -> Iterator[Told]:
    """The same deaths, in an order that the seed chooses, so that some of them are a fair sample."""
    rng = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    writes = told(seed).writes
    points = [(at, fate) for at in range(1, writes + 1) for fate in FATES]
    for at, fate in rng.sample(points, len(points)):
        yield told(seed, at, fate)


def campaign(
    first_seed: int, *, seeds: int, jobs: int, progress: Callable[[WorkflowCampaign], None], minutes: float = 0.0
) -> WorkflowCampaign:
    """All points of so many seeds, or of as many as there is time for. Goes on after a violation."""
    total = WorkflowCampaign(first_seed=first_seed)
    ends_s = time.monotonic() + minutes * 60
    waiting = iter(count(first_seed) if minutes else range(first_seed, first_seed + seeds))
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[list[Told]]] = {pool.submit(_all, seed) for seed in islice(waiting, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.seeds += 1
                for story in future.result():
                    total.add(story)
                progress(total)
            if not minutes or time.monotonic() < ends_s:
                running |= {pool.submit(_all, seed) for seed in islice(waiting, len(done))}
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`stories` were needed to find the mistake; 0: it was not found."""

    plant: str
    protection: str
    stories: int
    violation: str


def stories_needed(plant: str, first_seed: int = 1, *, stories_max: int = 2_000) -> Found:
    """Samples of one seed after the other, with the mistake, until it shows. Raises UnknownPlant."""
    number = 0
    with planted(PLANTS, plant):
        for seed in count(first_seed):
            for story in islice(sample_of(seed), 40):
                number += 1
                if story.violation:
                    return Found(
                        plant=plant,
                        protection=PLANTS[plant].protection,
                        stories=number,
                        violation=story.violation,
                    )
                if number >= stories_max:
                    return Found(plant=plant, protection=PLANTS[plant].protection, stories=0, violation="")
    raise AssertionError("seeds do not end")


def _all(seed: int) -> list[Told]:
    return list(points_of(seed))
