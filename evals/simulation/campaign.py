"""Many simulated runs, one seed after the other, on all cores; and how many of them each planted bug survives."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from evals.simulation.planted import PLANTS
from evals.simulation.run import Outcome, simulate

PLANT_SEEDS_MAX: Final = 400
_SUMMED: Final = ("simulated_s", "commands", "acknowledged", "checks", "elections", "messages", "watched")


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What many runs showed together."""

    first_seed: int
    runs: int = 0
    simulated_s: float = 0.0
    commands: int = 0
    acknowledged: int = 0
    checks: int = 0
    elections: int = 0
    messages: int = 0
    watched: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)  # seed → what did not hold

    @property
    def passed(self) -> bool:
        return self.runs > 0 and not self.violations

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        self.sizes[outcome.size] += 1
        self.faults += outcome.faults
        if outcome.violation:
            self.violations[outcome.seed] = outcome.violation

    def lines(self) -> list[str]:
        """The report for people."""
        sizes = ", ".join(f"{runs} with {size} nodes" for size, runs in sorted(self.sizes.items()))
        rows = [
            f"{self.runs} runs ({sizes}), {self.simulated_s / 3_600:.1f} simulated hours",
            f"{self.commands} changes, {self.messages} messages, {self.elections} elections, "
            f"{self.watched} watched events",
            f"{self.checks} checks of the invariants, {self.faults.total()} faults:",
        ]
        rows += [f"  {times:6} {kind}" for kind, times in sorted(self.faults.items())]
        rows += [f"seed {seed}: {violation}" for seed, violation in sorted(self.violations.items())]
        if self.violations:
            rows.append(f"look at one again: ./aether simulate --seed {min(self.violations)} --trace")
        rows.append(f"{len(self.violations)} violations, seeds {self.first_seed} to {self.first_seed + self.runs - 1}")
        return rows

    def figures(self) -> dict[str, object]:
        """The report for programs."""
        summed = {name: round(getattr(self, name), 1) for name in _SUMMED}
        return {
            "passed": self.passed,
            "first_seed": self.first_seed,
            "runs": self.runs,
            **summed,
            "sizes": dict(self.sizes),
            "faults": dict(sorted(self.faults.items())),
            "violations": self.violations,
        }


def campaign(first_seed: int, *, minutes: float, jobs: int, progress: Callable[[Campaign], None]) -> Campaign:
    """Seed after seed until the time is over. Goes on after a violation: each is worth knowing."""
    total = Campaign(first_seed=first_seed)
    ends_s = time.monotonic() + minutes * 60
    seeds = count(first_seed)
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Outcome]] = {pool.submit(_brief, next(seeds)) for _ in range(jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
                progress(total)
            if time.monotonic() < ends_s:
                running |= {pool.submit(_brief, next(seeds)) for _ in done}
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`seeds` runs were needed to find the bug; 0: it was not found."""

    plant: str
    protection: str
    seeds: int
    violation: str


def find_planted(*, first_seed: int, names: tuple[str, ...], jobs: int) -> Iterator[Found]:
    """Each planted bug in turn, as it is found."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(seeds_needed, names, [first_seed] * len(names))


def seeds_needed(plant: str, first_seed: int = 1, *, seeds_max: int = PLANT_SEEDS_MAX, fault: str = "") -> Found:
    """Runs with the bug until it shows, with all faults or with `fault` alone. Raises UnknownPlant."""
    for number in range(seeds_max):
        outcome = simulate(first_seed + number, plant=plant, fault=fault)
        if outcome.violation:
            return Found(
                plant=plant, protection=PLANTS[plant].protection, seeds=number + 1, violation=outcome.violation
            )
    return Found(plant=plant, protection=PLANTS[plant].protection, seeds=0, violation="")


def _brief(seed: int) -> Outcome:
    """The trace stays where it was made: the seed brings it back."""
    outcome = simulate(seed)
    outcome.trace = []
    return outcome
