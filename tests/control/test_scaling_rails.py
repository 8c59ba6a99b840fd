"""The simulated policy of ours knows its own changes where it shall, as the leader of a cluster does."""

from __future__ import annotations

import numpy as np

from controllers.scaling.model import ScalingPolicy
from controllers.scaling.tree import default_tree
from evals.scaling.ours import Aether
from evals.scaling.policy import Past, Seen
from evals.scaling.service import ServiceModel

SECONDS = 300
CARRIES = 100.0


def moves(*, remembers: bool) -> list[int]:
    """What a load that jumps up and down each five seconds makes of the number of instances, each a second later."""
    past = Past(service=ServiceModel(), minutes=np.zeros(60), season=1_440, seconds=np.zeros(SECONDS))
    policy = Aether(past, tree=default_tree(), policy=ScalingPolicy(hold_s=0), remembers=remembers)
    found, current, nothing = [], 2, np.zeros(SECONDS)
    for at in range(SECONDS):
        arrived = CARRIES * (8 if at // 5 % 2 else 1)
        seen = Seen(
            at_s=at,
            serving=current,
            starting=0,
            arrived=arrived,
            rate=arrived,
            backlog=0.0,
            latency_p95_s=0.1,
            utilisation=nothing,
            concurrency=nothing,
        )
        wanted = policy.wanted(seen)
        found.append(wanted - current)
        current = wanted
    return found


def test_after_six_turns_nothing_goes_any_more() -> None:
    """Else a study would flatter a policy by what a cluster forbids it."""
    free, railed = (sum(move < 0 for move in moves(remembers=each)) for each in (False, True))
    assert free > 20
    assert 3 <= railed <= 10
