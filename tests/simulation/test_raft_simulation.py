"""The real engine on simulated time and network: crashes, partitions, delays; nothing acknowledged is ever lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.consensus.raft.core import syncobj
from tests.simulation.raft_group import Group

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROUNDS = 8


@pytest.fixture(autouse=True)
def restored_globals() -> object:
    before = syncobj.monotonicTime, syncobj.random  # type: ignore[attr-defined]
    yield
    syncobj.monotonicTime, syncobj.random = before  # type: ignore[attr-defined]


async def torment(group: Group) -> None:
    """Rounds of one fault each, writes all along, then peace."""
    for name in group.names:
        group.start(name)
    await group.run(3)
    for _ in range(ROUNDS):
        fault = group.rng.choice(["crash", "crash leader", "crash all", "partition", "one-way", "nothing"])
        down: list[str] = []
        leaders = [name for name, engine in group.engines.items() if engine.member.is_leader]
        if fault == "crash":
            down = [group.rng.choice(group.names)]
        elif fault == "crash leader" and leaders:
            down = leaders[:1]
        elif fault == "crash all":
            down = list(group.names)
        elif fault == "partition":
            group.rng.shuffle(names := list(group.names))
            cut = group.rng.randrange(1, len(names))
            group.partition(names[:cut], names[cut:])
        elif fault == "one-way":
            one, other = group.rng.sample(group.names, 2)
            group.network.cut = {(one, other)}
        for name in down:
            group.crash(name)
        for _ in range(20):
            for name in group.names:
                group.write(name)
            await group.run(group.rng.uniform(0.02, 0.15))
        group.heal()
        for name in down:
            group.start(name)
        await group.run(group.rng.uniform(0.2, 2.0))
        group.check_states()


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("turn", range(3))
async def test_nothing_acknowledged_is_lost_and_members_never_diverge(
    seed: int, size: int, turn: int, tmp_path: Path
) -> None:
    """A failure prints the seed; `./aether test consensus --seed N` runs it again."""
    group = Group(seed * 100 + turn, size, tmp_path)
    await torment(group)
    await group.run(6)
    assert any(engine.member.is_leader for engine in group.engines.values()), "no leader although all is well"
    group.check_acknowledged()
    group.check_states()
    assert len({engine.machine.revision for engine in group.engines.values()}) == 1
    assert group.acknowledged, "nothing was written: the run proves nothing"


async def test_a_member_that_was_cut_off_does_not_disturb_the_others(seed: int, tmp_path: Path) -> None:
    """Without pre-vote it would come back with a higher term and depose a leader that is well."""
    group = Group(seed, 3, tmp_path)
    for name in group.names:
        group.start(name)
    await group.run(3)
    (leader,) = [name for name, engine in group.engines.items() if engine.member.is_leader]
    term = group.engines[leader].member.term
    away = next(name for name in group.names if name != leader)
    group.partition([away], [name for name in group.names if name != away])
    await group.run(10)
    group.heal()
    await group.run(3)
    assert group.engines[leader].member.is_leader
    assert group.engines[leader].member.term == term


async def test_a_leader_without_majority_steps_down(seed: int, tmp_path: Path) -> None:
    group = Group(seed, 3, tmp_path)
    for name in group.names:
        group.start(name)
    await group.run(3)
    (leader,) = [name for name, engine in group.engines.items() if engine.member.is_leader]
    group.partition([leader], [name for name in group.names if name != leader])
    await group.run(3)
    assert not group.engines[leader].member.is_leader
    assert sum(engine.member.is_leader for engine in group.engines.values()) == 1
