"""KEDA on requests a second, as its Prometheus trigger does: from one instance on Kubernetes' HPA decides."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from evals.scaling.peers.hpa import SYNC_S, TOLERANCE, Behaviour
from evals.scaling.policy import Past, Seen

RATE_S: Final = 60  # rate(...[1m])
SCRAPE_DELAY_S: Final = 15


class Keda:
    """desired = ceil(requests a second / threshold of one instance), within HPA's tolerance and behaviour. An external
    metric knows nothing of pods that are not ready."""

    def __init__(self, past: Past, *, target: float) -> None:
        """target: of what one instance carries, 0 to 1."""
        self._threshold = past.service.rate_per_instance * target
        self._arrived: deque[float] = deque(maxlen=RATE_S + SCRAPE_DELAY_S)
        self._behaviour = Behaviour()

    def wanted(self, seen: Seen) -> int:
        self._arrived.append(seen.arrived)
        if seen.at_s % SYNC_S or len(self._arrived) < RATE_S + SCRAPE_DELAY_S:
            return seen.current
        rate = sum([*self._arrived][:RATE_S]) / RATE_S
        ratio = rate / (self._threshold * seen.current)
        near = abs(ratio - 1) <= TOLERANCE
        return self._behaviour.limited(seen.current if near else self._raw(rate), seen.current)

    def _raw(self, rate: float) -> int:
        return max(1, math.ceil(rate / self._threshold - 1e-9))
