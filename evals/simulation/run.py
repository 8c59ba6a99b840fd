"""One simulated run from its seed, and many of them as a campaign."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from evals.linearizability.checker import CLOCK_ERROR, check
from evals.planting import planted
from evals.simulation.clients import LEASE_TTL_MS, Account, Client, Watcher
from evals.simulation.faults import Faults
from evals.simulation.invariants import Invariants, Violation
from evals.simulation.loop import run as run_simulated
from evals.simulation.planted import PLANTS
from evals.simulation.tasks import end, first_of, start
from evals.simulation.world import World
from runtime.consensus.raft.core import syncobj
from runtime.consensus.raft.engine import LEASE_TICK_MS_MAX

CLIENTS: Final = 5
WATCHERS: Final = 2
ROUNDS: Final = 8
HEAL_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one run showed. `violation` is empty when every promise held."""

    seed: int
    size: int
    simulated_s: float = 0.0
    commands: int = 0
    acknowledged: int = 0
    checks: int = 0
    elections: int = 0
    messages: int = 0
    watched: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violation: str = ""
    trace: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _own_globals() -> Iterator[None]:
    before = syncobj.monotonicTime, syncobj.random
    try:
        yield
    finally:
        syncobj.monotonicTime, syncobj.random = before  # type: ignore[attr-defined]


def simulate(seed: int, *, size: int = 0, rounds: int = ROUNDS, plant: str = "", fault: str = "") -> Outcome:
    """The run of that seed; `size` 0 takes three or five nodes by seed; `plant` names a bug of `planted.PLANTS`,
    `fault` the only kind of fault to happen; empty, all of them do.

    Raises UnknownPlant.
    """
    nodes = size or (3, 3, 5)[seed % 3]
    outcome = Outcome(seed=seed, size=nodes)
    with _own_globals(), planted(PLANTS, plant):
        run_simulated(_run(outcome, rounds, fault))
    return outcome


async def _run(outcome: Outcome, rounds: int, fault: str) -> None:
    world = World(outcome.seed, outcome.size)
    invariants, account, faults = Invariants(world), Account(), Faults(world, only=fault)
    began_s = world.loop.time()
    watchers = [Watcher(world, account) for _ in range(WATCHERS)]
    works = [world.keep_links(), _torment(world, faults, account, rounds)]
    works += [Client(world, f"c{number}", account).run() for number in range(CLIENTS)]
    works += [watcher.run() for watcher in watchers]
    tasks = [start(work) for work in works]
    world.loop.set_exception_handler(lambda _loop, context: _stop(tasks[1], context))
    try:
        await first_of(tasks)
    except (Violation, AssertionError) as violation:
        outcome.violation = f"{type(violation).__name__}: {violation}"
    except Exception as error:
        outcome.violation = f"{type(error).__name__}: {error}"
    finally:
        for name, _ in world.live():
            world.crash(name, power=False)
        await end(tasks)
    outcome.violation = outcome.violation or _judged(world, account)
    outcome.simulated_s = world.loop.time() - began_s
    outcome.commands, outcome.acknowledged = account.commands, len(account.acknowledged)
    outcome.checks, outcome.elections = invariants.checks, invariants.elections
    outcome.messages, outcome.faults, outcome.trace = world.network.messages, faults.counts, world.trace
    outcome.watched = sum(watcher.events for watcher in watchers)


def _judged(world: World, account: Account) -> str:
    """What is wrong with all that clients were told, taken together; nothing, if one order explains it. Each jump of a
    leader's clock may cost a lease what the leader counts for it at most."""
    error = CLOCK_ERROR + world.jumps * LEASE_TICK_MS_MAX / LEASE_TTL_MS
    verdict = check(account.history, clock_error=min(1.0, error))
    return "" if verdict.ok else str(verdict)


def _stop(main: asyncio.Task[None], context: dict[str, object]) -> None:
    """A callback of the loop failed: an invariant that was checked as a message arrived."""
    error = context.get("exception")
    if isinstance(error, BaseException) and not main.done():
        main.get_loop().call_soon(main.cancel)
        _failures.setdefault(id(main), error)


_failures: dict[int, BaseException] = {}


async def _torment(world: World, faults: Faults, account: Account, rounds: int) -> None:
    main = asyncio.current_task()
    assert main is not None
    try:
        for name in sorted(world.nodes):
            world.start(name)
        await asyncio.sleep(2.0)
        for _ in range(rounds):
            await faults.round()
        await _heal(world, faults, account)
    except asyncio.CancelledError:
        failure = _failures.pop(id(main), None)
        if failure is not None:
            raise failure from None
        raise


async def _heal(world: World, faults: Faults, account: Account) -> None:
    """In peace the cluster must come to one leader and one state, with everything that was acknowledged in it."""
    world.network.heal()
    await faults.restart_all()
    await faults.replace_lost()
    ends_s = world.loop.time() + HEAL_S
    while not _is_well(world):
        faults.take_away_removed()
        if world.loop.time() > ends_s:
            raise Violation(f"not well after {HEAL_S:.0f} s of peace: {_states(world)}")
        await asyncio.sleep(0.1)
    machine = next(node.engine.machine for _, node in world.live() if node.engine is not None)
    for key in account.acknowledged:
        item = machine.keys.get(key)
        if item is None or item.version != 1:
            raise Violation(f"{key} was acknowledged and {'is gone' if item is None else 'was written twice'}")
    for key, total in account.sums.items():
        item = machine.keys.get(key)
        found = int(item.value) if item is not None else 0
        if not total <= found <= total + account.perhaps[key]:
            raise Violation(f"{key} is {found} after {total} increments were acknowledged")


def _is_well(world: World) -> bool:
    engines = [node.engine for _, node in world.live() if node.engine is not None]
    if len(world.leaders()) != 1 or len(engines) < len(world.nodes):
        return False
    if len({engine.member.applied_index for engine in engines} | {engine.log.last_index for engine in engines}) != 1:
        return False
    if len({engine.machine.full_hash() for engine in engines}) != 1:
        raise Violation(f"members differ after entry {engines[0].member.applied_index}")
    return engines[0].member.term == engines[0].log.last_term


def _states(world: World) -> str:
    return "; ".join(
        f"{name} term {node.engine.member.term} role {node.engine.member.role} last {node.engine.log.last_index} "
        f"commit {node.engine.member.commit_index} applied {node.engine.member.applied_index} "
        f"members {sorted(node.engine.member.voters)}"
        for name, node in world.live()
        if node.engine is not None
    )
