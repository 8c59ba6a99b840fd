"""Long runs that kill what must not matter, under load, and count what it cost."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from evals.forge.executions import WithExecutions, executed, executed_twice, executions_project
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.outcome import Failure, LoadReport
from evals.forge.load.profile import Profile
from evals.forge.load.requests import links_mix
from evals.forge.load.scenario import Mix, Scenario

FAILED_SHARE_MAX: Final = 0.0004
RPS: Final = 1_000.0
WARM_UP_S: Final = 2.0
HEAL_TIMEOUT_S: Final = 60.0
DETECTION_S_MAX: Final = 1.0  # a failure later than this after a kill is not that kill's doing
PACE_S: Final = 20.0  # between kills: a machine that dies takes with it what is on its connections at that moment
PAUSE_S_MAX: Final = 2.0  # before a kill, so that kills fall anywhere between two heartbeats

Progress = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Kills:
    """What a campaign of kills showed. `twice` are non-idempotent executions that ran more than once."""

    seed: int
    rounds: int
    load: LoadReport
    executions: int = 0
    twice: dict[str, int] = field(default_factory=dict)
    elections_s: list[float] = field(default_factory=list)
    healings_s: list[float] = field(default_factory=list)
    kills_at_s: list[float] = field(default_factory=list)  # on the load's clock

    @property
    def unexplained(self) -> list[Failure]:
        """Failures that no kill explains: requests that no killed node had in its hands."""
        return [
            failure
            for failure in self.load.failures
            if not any(0.0 <= failure.at_s - killed_s <= DETECTION_S_MAX for killed_s in self.kills_at_s)
        ]

    @property
    def passed(self) -> bool:
        return not self.twice and self.load.failed_share <= FAILED_SHARE_MAX and self.load.succeeded > 0

    def lines(self) -> list[str]:
        """The report for people."""
        rows = self.load.lines()
        rows.append(f"{self.executions} executions that must run at most once; {len(self.twice)} ran more than once")
        rows += [f"  execution {name} ran {times} times" for name, times in sorted(self.twice.items())[:20]]
        if self.elections_s:
            rows.append(f"a new leader after {max(self.elections_s):.1f} s at most")
        if self.healings_s:
            rows.append(f"all slices whole again after {max(self.healings_s):.1f} s at most")
        rows += [f"not explained by a kill: at {each.at_s:.2f} s {each.cause}" for each in self.unexplained[:20]]
        verdict = "passed" if self.passed else f"FAILED; run it again with --seed {self.seed} --rounds {self.rounds}"
        rows.append(f"kills, seed {self.seed}, {self.rounds} rounds: {verdict}")
        return rows

    def figures(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "seed": self.seed,
            "rounds": self.rounds,
            "passed": self.passed,
            "executions": self.executions,
            "executed_twice": self.twice,
            "election_s_max": max(self.elections_s, default=0.0),
            "healing_s_max": max(self.healings_s, default=0.0),
            "load": self.load.figures(),
        }


async def kills(
    *,
    seed: int,
    rounds: int,
    links_app: Path,
    rps: float = RPS,
    pace_s: float = PACE_S,
    state: Path | None = None,
    progress: Progress = lambda line: None,
) -> Kills:
    """Each round kills the leader's whole node, and when all is well again another one; each time under load."""
    with tempfile.TemporaryDirectory(prefix="aether-campaign-") as temporary:
        log = Path(temporary) / "executions"
        project = executions_project(Path(temporary) / "project", log)
        async with Forge(nodes=3, apps=[links_app, project], state=state, progress=progress) as forge:
            links = Mix(tuple(await links_mix(forge)))
            result = await kill_rounds(
                forge, log, links, seed=seed, rounds=rounds, rps=rps, pace_s=pace_s, progress=progress
            )
    return result


async def kill_rounds(
    forge: Forge,
    log: Path,
    other: Scenario,
    *,
    seed: int,
    rounds: int,
    rps: float = RPS,
    pace_s: float = 0.0,
    progress: Progress = lambda line: None,
) -> Kills:
    """As `kills`, on a Forge that runs already and serves the executions project beside what `other` asks for."""
    choice = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    generator = LoadGenerator(forge.targets(), WithExecutions(other, f"kills-{seed}"), Profile(rps=rps))
    result = Kills(seed=seed, rounds=rounds, load=generator.report)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(generator.run)
        await anyio.sleep(WARM_UP_S)
        for number in range(rounds):
            await _round(forge, choice, result, generator, pace_s, partial(_tell, progress, number + 1))
        generator.stop()
    result.executions = executed(log)
    result.twice = executed_twice(log)
    return result


def _tell(progress: Progress, number: int, line: str) -> None:
    progress(f"round {number}: {line}")


async def _round(
    forge: Forge, choice: random.Random, result: Kills, load: LoadGenerator, pace_s: float, progress: Progress
) -> None:
    began = time.monotonic()
    leader = await forge.until_leader()
    await _kill_and_heal(forge, leader, "the leader", choice, result, load, progress)
    await anyio.sleep(max(0.0, began + pace_s - time.monotonic()))
    began = time.monotonic()
    leader = await forge.until_leader()
    other = choice.choice([name for name in forge.names if name != leader])
    await _kill_and_heal(forge, other, "a follower", choice, result, load, progress)
    await anyio.sleep(max(0.0, began + pace_s - time.monotonic()))


async def _kill_and_heal(
    forge: Forge, name: str, what: str, choice: random.Random, result: Kills, load: LoadGenerator, progress: Progress
) -> None:
    await anyio.sleep(choice.uniform(0.0, PAUSE_S_MAX))
    failed = result.load.failed
    began = time.monotonic()
    result.kills_at_s.append(load.elapsed_s)
    await forge.nodes[name].kill()
    if what == "the leader":
        await forge.until_leader(other_than=name)
        result.elections_s.append(time.monotonic() - began)
    await anyio.sleep(choice.uniform(0.0, PAUSE_S_MAX))
    await forge.start_node(name)
    await forge.until_well(timeout_s=HEAL_TIMEOUT_S)
    result.healings_s.append(time.monotonic() - began)
    progress(
        f"killed {what} {name}; all well after {time.monotonic() - began:.1f} s, "
        f"{result.load.failed - failed} requests failed; {result.load.sent} sent so far"
    )
