"""The faults that a campaign makes."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from typing import Final

import anyio

from evals.nemesis import sights
from evals.nemesis.errors import CampaignRefused, PromiseBroken
from evals.nemesis.fault import FIVE, SMALL_DISKS, SNAPSHOTS, Fault, Trial
from runtime.consensus.errors import NoQuorum, StoreUnavailable
from runtime.consensus.store import Put

DELAY_S: Final = (0.05, 0.3)
SEEN_S: Final = 20.0
WATCHED_S: Final = 0.001  # between looks for a file that lives for some tens of milliseconds
BURST: Final = 64  # puts at a time, to fill the log

# -- death -------------------------------------------------------------------------------------------------------------


async def _kill_leader(trial: Trial) -> None:
    trial.cluster.kill(*trial.strike(trial.leader))


async def _kill_majority(trial: Trial) -> None:
    trial.cluster.kill(*trial.strike(*trial.anyone(len(trial.cluster.names) // 2 + 1)))


async def _kill_all(trial: Trial) -> None:
    trial.cluster.kill(*trial.strike(*trial.cluster.names))


async def _start_struck(trial: Trial) -> None:
    trial.cluster.start(*trial.struck)


async def _restart_all(trial: Trial) -> None:
    """One after the other, as an upgrade does, or all together."""
    cluster = trial.cluster
    trial.strike(*cluster.names)
    if trial.rng.random() < 0.5:
        trial.told.append("together")
        await cluster.stop(*cluster.names)
        cluster.start(*cluster.names)
        return
    trial.told.append("one by one")
    for node in trial.rng.sample(cluster.names, len(cluster.names)):
        await cluster.stop(node)
        cluster.start(node)
        await cluster.until_well(timeout_s=SEEN_S)


async def _nothing(_trial: Trial) -> None:
    """It mends itself."""


# -- sleep -------------------------------------------------------------------------------------------------------------


async def _stop_leader(trial: Trial) -> None:
    trial.cluster.pause(*trial.strike(trial.leader))


async def _wake_leader(trial: Trial) -> None:
    """It is asked while it sleeps, so that the question is the first thing it finds: it must not answer from what it
    knew, nor acknowledge what the others do not have."""
    cluster, sleeper = trial.cluster, trial.struck[0]
    witness = trial.rng.choice(trial.others)
    key = f"{trial.account.prefix}awoken"
    written = await cluster.client(witness).txn([], [Put(key=key, value=b"1")])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_asked_in_its_sleep, trial, sleeper, key, int(written.revision))
        await anyio.sleep(0.05)
        cluster.resume(sleeper)


async def _asked_in_its_sleep(trial: Trial, sleeper: str, key: str, revision: int) -> None:
    found = await trial.cluster.client(sleeper).get(key)
    if found.item is None or found.revision < revision:
        raise PromiseBroken(f"{sleeper} woke up and read {found}; the others were at revision {revision} before")


# -- links -------------------------------------------------------------------------------------------------------------


async def _cut_leader_off(trial: Trial) -> None:
    trial.strike(trial.leader)
    trial.cluster.links.cut_both(trial.struck, trial.others)


async def _cut_one_way(trial: Trial) -> None:
    """The leader in two of three cases; it hears nobody, or nobody hears it."""
    trial.strike(*trial.anyone(1, leader=trial.rng.random() < 2 / 3))
    if trial.rng.random() < 0.5:
        trial.told.append("hears nobody")
        trial.cluster.links.cut(trial.others, trial.struck)
    else:
        trial.told.append("is not heard")
        trial.cluster.links.cut(trial.struck, trial.others)


async def _cut_in_halves(trial: Trial) -> None:
    """The smaller one is struck, with the leader in it or not."""
    trial.strike(*trial.anyone((len(trial.cluster.names) - 1) // 2))
    trial.cluster.links.cut_both(trial.struck, trial.others)


async def _slow_links(trial: Trial) -> None:
    names = trial.strike(*trial.cluster.names)
    trial.cluster.links.slow(names, names, delay_s=DELAY_S)


async def _a_change_is_slow(trial: Trial) -> bool:
    """It goes to a majority and back."""
    began_s = time.monotonic()
    try:
        await trial.cluster.client(trial.rng.choice(trial.cluster.names)).txn(
            [], [Put(key=f"{trial.account.prefix}slow", value=b"")]
        )
    except (NoQuorum, StoreUnavailable):
        return False
    return time.monotonic() - began_s > DELAY_S[0]


async def _heal_links(trial: Trial) -> None:
    trial.cluster.links.heal()


# -- disks -------------------------------------------------------------------------------------------------------------


async def _fill_disks(trial: Trial) -> None:
    """Of one member, or of a majority."""
    cluster = trial.cluster
    count = 1 if trial.rng.random() < 0.75 else len(cluster.names) // 2 + 1
    for node in trial.strike(*trial.anyone(count)):
        cluster.failures[node] = 0
        cluster.failing.add(node)
        cluster.volumes[node].fill()
    trial.told.append(f"filled {cluster.volumes[trial.struck[0]].what}")


async def _free_disks(trial: Trial) -> None:
    """They come back by themselves."""
    cluster = trial.cluster
    for node in trial.struck:
        cluster.volumes[node].free()
    await cluster.until_well(timeout_s=SEEN_S)
    cluster.failing.clear()
    trial.told.append(f"ended {sum(cluster.failures[node] for node in trial.struck)} times")


# -- snapshots ---------------------------------------------------------------------------------------------------------


async def _miss_a_snapshot(trial: Trial) -> None:
    """A follower is away, dead or cut off, while the log goes on without it."""
    cluster = trial.cluster
    trial.before = await cluster.statuses()
    trial.strike(*trial.anyone(1, leader=False))
    if trial.rng.random() < 0.5:
        cluster.kill(*trial.struck)
    else:
        trial.told.append("cut off")
        cluster.links.cut_both(trial.struck, trial.others)
    writer = trial.others[0]
    for number in itertools.count():
        await _burst(trial, writer, number)
        if await sights.log_is_gone(trial):
            return


async def _bring_back(trial: Trial) -> None:
    cluster = trial.cluster
    cluster.links.heal()
    cluster.start(*(node for node in trial.struck if node not in cluster.processes))


async def _kill_in_snapshot(trial: Trial) -> None:
    """Whoever is first seen writing one."""
    cluster = trial.cluster
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_keep_writing, trial)
        with anyio.move_on_after(SEEN_S):
            while not await sights.left_half_a_snapshot(trial):
                if trial.struck:  # it was done before the kill came
                    cluster.start(*trial.struck)
                    await cluster.until_well(timeout_s=SEEN_S)
                trial.struck = (await _writing_one(trial),)
                cluster.kill(*trial.struck)
        tasks.cancel_scope.cancel()
    trial.told.append(", ".join(trial.struck))


async def _writing_one(trial: Trial) -> str:
    while True:
        for node in trial.cluster.names:
            if sights.unfinished(trial, node):
                return node
        await anyio.sleep(WATCHED_S)


async def _keep_writing(trial: Trial) -> None:
    for number in itertools.count():
        await _burst(trial, trial.rng.choice(trial.cluster.awake), number)


async def _burst(trial: Trial, node: str, number: int) -> None:
    """Fills the log. What does not get in does not matter."""
    client = trial.cluster.client(node)

    async def put(index: int) -> None:
        with suppress(NoQuorum, StoreUnavailable):
            await client.txn([], [Put(key=f"{trial.account.prefix}burst/{index}", value=str(number).encode())])

    async with anyio.create_task_group() as tasks:
        for index in range(BURST):
            tasks.start_soon(put, index)


# -- the table ---------------------------------------------------------------------------------------------------------

FAULTS: Final = (
    Fault(
        name="leader-killed",
        what="kill -9 of the leader",
        start=_kill_leader,
        observed=sights.others_have_a_leader,
        heal=_start_struck,
    ),
    Fault(
        name="majority-killed",
        what="kill -9 of a majority at once",
        start=_kill_majority,
        observed=sights.others_have_no_leader,
        heal=_start_struck,
    ),
    Fault(
        name="all-killed",
        what="kill -9 of all members at once",
        start=_kill_all,
        observed=sights.at_once,
        heal=_start_struck,
    ),
    Fault(
        name="all-restarted",
        what="every member restarted under load, together or one by one",
        start=_restart_all,
        observed=sights.at_once,
        heal=_nothing,
    ),
    Fault(
        name="leader-sleeps",
        what="the leader is stopped, another one elected, and it wakes up with questions waiting",
        start=_stop_leader,
        observed=sights.others_have_a_leader,
        heal=_wake_leader,
        hold_s=(0.0, 0.2),  # soon, while it may still believe that it leads
    ),
    Fault(
        name="leader-cut-off",
        what="the leader alone on its side of a partition",
        start=_cut_leader_off,
        observed=sights.others_have_a_leader,
        heal=_heal_links,
    ),
    Fault(
        name="one-way",
        what="a member that hears nobody, or that nobody hears",
        start=_cut_one_way,
        observed=sights.the_struck_one_is_behind,
        heal=_heal_links,
    ),
    Fault(
        name="halves",
        what="five members cut into two and three",
        start=_cut_in_halves,
        observed=sights.halves_are_settled,
        heal=_heal_links,
        setup=FIVE,
    ),
    Fault(
        name="slow-links",
        what="50 to 300 ms each way on every link",
        start=_slow_links,
        observed=_a_change_is_slow,
        heal=_heal_links,
        hold_s=(0.5, 2.0),
    ),
    Fault(
        name="disk-full",
        what="no byte left on the disk of one member, or of a majority",
        start=_fill_disks,
        observed=sights.disks_failed,
        heal=_free_disks,
        setup=SMALL_DISKS,
    ),
    Fault(
        name="snapshot-needed",
        what="a member away so long that no log reaches back to it",
        start=_miss_a_snapshot,
        observed=sights.log_is_gone,
        heal=_bring_back,
        setup=SNAPSHOTS,
    ),
    Fault(
        name="snapshot-killed",
        what="kill -9 of a member while it writes a snapshot",
        start=_kill_in_snapshot,
        observed=sights.left_half_a_snapshot,
        heal=_start_struck,
        setup=SNAPSHOTS,
    ),
)


def fault_named(name: str) -> Fault:
    """Raises CampaignRefused."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise CampaignRefused(f"no fault is called {name!r}; there are {', '.join(fault.name for fault in FAULTS)}")
