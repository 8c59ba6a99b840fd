"""What is to be seen once a fault has done its work: conditions over the members that can still be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evals.nemesis.fault import Trial

Sight = Callable[[Trial], Awaitable[bool]]


async def at_once(_trial: Trial) -> bool:
    return True


async def others_have_a_leader(trial: Trial) -> bool:
    """One of those that were not struck leads, and all of them know it."""
    others = tuple(node for node in trial.others if node in trial.cluster.awake)
    seen = await trial.cluster.statuses(others)
    leaders = {status.leader for status in seen.values()}
    return len(seen) == len(others) and len(leaders) == 1 and leaders <= set(others)


async def others_have_no_leader(trial: Trial) -> bool:
    """A minority is left, and knows that it can decide nothing."""
    return await _without_leader(trial, trial.others)


async def halves_are_settled(trial: Trial) -> bool:
    """The larger part has a leader of its own, the smaller one has none."""
    return await others_have_a_leader(trial) and await _without_leader(trial, trial.struck)


async def the_struck_one_is_behind(trial: Trial) -> bool:
    """It hears no leader; or the leader hears nothing from it, and others lead or go on without it."""
    if trial.leader in trial.struck:
        return await others_have_a_leader(trial)
    seen = await trial.cluster.statuses()
    deaf = all(node in seen and not seen[node].leader for node in trial.struck)
    dumb = any(status.lag.get(node, 0) > 0 for status in seen.values() for node in trial.struck)
    return deaf or dumb


async def disks_failed(trial: Trial) -> bool:
    """Each store whose disk is full has ended rather than go on; the others, if they are enough, have a leader."""
    failed = all(trial.cluster.failures[node] > 0 for node in trial.struck)
    enough = len(trial.others) * 2 > len(trial.cluster.names)
    return failed and (not enough or await others_have_a_leader(trial))


async def log_is_gone(trial: Trial) -> bool:
    """What the struck member lacks is in no log any more: only a snapshot brings it back."""
    seen = await trial.cluster.statuses(trial.others)
    kept = trial.cluster.setup.snapshot_kept
    last = max(trial.before[node].last_index for node in trial.struck)
    return len(seen) == len(trial.others) and all(status.snapshot_index - kept > last for status in seen.values())


async def left_half_a_snapshot(trial: Trial) -> bool:
    """It was killed while it wrote one: the unfinished file is still there."""
    return any(unfinished(trial, node) for node in trial.struck)


def unfinished(trial: Trial, node: str) -> bool:
    directory = trial.cluster.layout(node).store
    return any((directory / name).exists() for name in ("snapshot.own", "snapshot.installing"))


async def _without_leader(trial: Trial, nodes: tuple[str, ...]) -> bool:
    seen = await trial.cluster.statuses(nodes)
    return len(seen) == len(nodes) and not any(status.leader for status in seen.values())
