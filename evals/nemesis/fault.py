"""Faults as data: what breaks, how one sees that it broke, what mends it, and on which cluster it can be made."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from evals.nemesis.account import Account
from evals.nemesis.cluster import Setup, StoreCluster
from runtime.consensus.store import StoreStatus

PLAIN: Final = Setup(snapshot_every=1_500, snapshot_kept=300)
FIVE: Final = Setup(size=5, snapshot_every=1_500, snapshot_kept=300)
SMALL_DISKS: Final = Setup(volumes=True, snapshot_every=1_500, snapshot_kept=300)
SNAPSHOTS: Final = Setup(snapshot_every=300, snapshot_kept=50, preloaded_keys=10_000)


@dataclass(slots=True)
class Trial:
    """One cycle: its cluster, its choices, whom the fault struck."""

    cluster: StoreCluster
    rng: random.Random
    account: Account
    leader: str
    """Who led when the fault began."""
    struck: tuple[str, ...] = ()
    before: dict[str, StoreStatus] = field(default_factory=dict)  # how members stood when the fault began
    told: list[str] = field(default_factory=list)  # for the progress line

    @property
    def others(self) -> tuple[str, ...]:
        """All that the fault did not strike."""
        return tuple(node for node in self.cluster.names if node not in self.struck)

    def strike(self, *nodes: str) -> tuple[str, ...]:
        self.struck = tuple(sorted(nodes))
        self.told.append(", ".join(self.struck))
        return self.struck

    def anyone(self, count: int, *, leader: bool | None = None) -> list[str]:
        """So many members; with the leader among them, or without, or as it comes."""
        followers = [node for node in self.cluster.names if node != self.leader]
        with_leader = self.rng.random() < count / len(self.cluster.names) if leader is None else leader
        chosen = self.rng.sample(followers, count - with_leader)
        return [*chosen, *([self.leader] if with_leader else [])]


Step = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`start` breaks something. When `observed` has come true it is held for a while; then `heal` mends it."""

    name: str
    what: str
    start: Step
    observed: Callable[[Trial], Awaitable[bool]]
    heal: Step
    setup: Setup = PLAIN
    hold_s: tuple[float, float] = (0.1, 0.8)
