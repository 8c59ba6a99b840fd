"""The project that writes down executions, the load on it, and what its files tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evals.forge.load.scenario import Request, Scenario
from evals.forge.project import SliceWish, source_of, write_project


def executions_project(directory: Path, log: Path) -> Path:
    """Its workers write below `log`."""
    log.mkdir(parents=True, exist_ok=True)
    return write_project(
        directory,
        name="executions",
        source=source_of("evals.forge.slice_executions"),
        slices=[
            SliceWish(name="recorder", class_name="Recorder", instances=2, extra=f'config = {{ directory = "{log}" }}'),
            SliceWish(name="recorder-front", class_name="RecorderFront", instances=3, extra='requires = ["recorder"]'),
        ],
    )


@dataclass(frozen=True, slots=True)
class WithExecutions:
    """Another scenario, of whose every ten requests two are executions and two are passed on to one.

    `run` tells the executions of this run from those of others in the same files.
    """

    other: Scenario
    run: str

    def request(self, number: int) -> Request:
        turn = number % 10
        if turn in (0, 5):
            return Request(name="execute", method="POST", path=f"/executions/{self.run}-{number}")
        if turn in (2, 7):
            return Request(name="pass on", method="POST", path=f"/passed/{self.run}-{number}")
        return self.other.request(number)


def executed_twice(log: Path) -> dict[str, int]:
    """Executions that ran more than once, with how often they did."""
    counted: Counter[str] = Counter()
    for path in log.glob("*.executions"):
        counted.update(path.read_text().split())
    return {execution: times for execution, times in counted.items() if times > 1}


def executed(log: Path) -> int:
    return sum(len(path.read_text().split()) for path in log.glob("*.executions"))
