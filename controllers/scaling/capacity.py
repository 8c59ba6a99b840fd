"""What one instance carries, learnt from what it does: pure, fed once a second, one estimator per slice version."""

from __future__ import annotations

import math
from typing import Final

import msgspec

PRIOR_RATE: Final = 50.0  # calls a second of an instance that nothing is known of: 20 ms of one core each
PRIOR_SPREAD: Final = math.log(4.0)  # standard deviation of its logarithm
RENEWED_SPREAD: Final = math.log(2.0)  # of a new version's, around what the one before it carried
RESUMED_SPREAD: Final = math.log(1.2)  # of a version's that this process knew before it began anew
RESUMED_S_MAX: Final = 86_400.0  # after more than a day it is as good as a new version's
BLOCK_S: Final = 5  # calls are counted when they end, CPU when it is used: over five seconds that evens out
BUSY_MIN: Final = 0.02  # below it, what a process does without calls outweighs what calls cost
BUSY_MAX: Final = 1.2  # more than all of it is a wrong figure
CALM_BLOCKS_MIN: Final = 12  # a minute of hardly any use tells what instances carry at least
NOISE: Final = 0.02  # of the busy share of a block, at least: CPU time comes in steps of 10 ms
IDLE_SPREAD: Final = 0.05  # standard deviation of the busy share of an idle instance
KEEP: Final = 0.5 ** (BLOCK_S / 600.0)  # what was seen counts half after ten minutes
AUTOCORRELATION: Final = 8.0  # blocks that follow each other tell that much less than independent ones
OUTLIERS_MAX: Final = 3  # in a row: then it is the instance that changed, and all of the past is worth one block
SPREAD_MIN: Final = 0.01
BINS: Final = 20  # of the busy share, 5 % each
SLOW_SHARE_MAX: Final = 0.05
BIN_BLOCKS_MIN: Final = 2.0
Z: Final = 1.96


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance carries when it is always busy, calls a second; true within `low` and `high` 19 times of 20.

    Of instances that were hardly ever used `rate_per_instance` is what they carry at least, and so is `low`.
    `samples` are the seconds that it was learnt from, the past counting less: 0 is the prior. `busy_max` is the busy
    share, 0 to 1, up to which the latency kept its bound; None while it was never seen to break it.
    """

    rate_per_instance: float
    low: float
    high: float
    samples: float
    busy_max: float | None = None


class CapacitySeen(msgspec.Struct, frozen=True, kw_only=True):
    """One second of one slice version. None is not known."""

    calls: float
    """That ended."""
    instances: int
    """That served."""
    busy: float | None
    """Share, 0 to 1, in which the scarcest thing that instances have was in use: CPU, or calls at once."""
    waiting: float = 0.0
    """Calls that found no instance with room."""
    latency_p95_ms: float | None = None


class CapacityEstimator:
    """The busy share of instances is taken as `idle + calls / capacity`: a weighted regression over blocks of seconds,
    idle held near nothing, older blocks counting less. A block in which calls wait is one in which they are all busy.

    Constant time and about 1 kB. What cannot be true is not looked at, and a single block that does not fit neither.
    """

    def __init__(
        self,
        *,
        prior_rate: float = PRIOR_RATE,
        prior_spread: float = PRIOR_SPREAD,
        samples: float = 0.0,
        busy_max: float | None = None,
    ) -> None:
        """samples, busy_max: as `Capacity` has them, of what the prior itself was learnt from."""
        self._prior_rate, self._prior_spread = prior_rate, prior_spread
        self._prior_samples, self._prior_busy_max = samples, busy_max
        self._block = _Block()
        self._fit = _Fit()
        self._outliers = 0
        self._calm = self._calm_rate = 0.0  # blocks of hardly any use, and calls a second in them, older ones less
        self._seen = [0.0] * BINS
        self._slow = [0.0] * BINS
        self._capacity: Capacity | None = None  # until more is learnt

    def renewed(self) -> CapacityEstimator:
        """For the next version: it carries about the same, until it shows otherwise."""
        carried = self.capacity.rate_per_instance if self._fit.weight else self._prior_rate
        return CapacityEstimator(prior_rate=carried, prior_spread=RENEWED_SPREAD)

    @classmethod
    def resumed(cls, known: Capacity, age_s: float) -> CapacityEstimator:
        """Of a version of which that was known so many seconds ago: what it does from now on counts more."""
        spread = max(RESUMED_SPREAD, math.log(known.high / known.low) / (2 * Z))
        if abs(age_s) > RESUMED_S_MAX:
            spread = max(spread, RENEWED_SPREAD)
        return cls(
            prior_rate=known.rate_per_instance, prior_spread=spread, samples=known.samples, busy_max=known.busy_max
        )

    def observe(self, seen: CapacitySeen, *, slo_p95_ms: float) -> None:
        """One second more; what is missing or cannot be true is left out."""
        if not _is_sound(seen):
            return
        block = self._block
        if block.seconds and seen.instances != block.instances:  # those that came are cold, those that go are draining
            self._block = block = _Block()
        block.take(seen, slo_p95_ms)
        if block.seconds == BLOCK_S:
            self._block = _Block()
            self._learn(block)

    def _learn(self, block: _Block) -> None:
        busy = block.busy
        if busy is None:
            return
        rate = block.calls / (block.instances * BLOCK_S)
        self._capacity = None
        if busy < BUSY_MIN:
            self._calm, self._calm_rate = self._calm * KEEP + 1.0, self._calm_rate * KEEP + rate
            return
        if block.calls <= 0:
            return
        self._note_latency(busy, block.slow)
        if self._fit.weight >= OUTLIERS_MAX and self._fit.is_outlier(rate, busy):
            self._outliers += 1
            if self._outliers < OUTLIERS_MAX:
                return
            self._fit.forget(1.0 / self._fit.weight)
        self._outliers = 0
        self._fit.take(rate, busy)

    def _note_latency(self, busy: float, slow: float) -> None:
        at = min(BINS - 1, int(busy * BINS))
        self._seen[at] = self._seen[at] * KEEP + 1.0
        self._slow[at] = self._slow[at] * KEEP + slow

    @property
    def capacity(self) -> Capacity:
        """Made anew once something was learnt: controllers ask each second, blocks end each fifth."""
        if self._capacity is None:
            self._capacity = self._made()
        return self._capacity

    def _made(self) -> Capacity:
        rate, spread = self._prior_rate, self._prior_spread
        learnt = self._fit.capacity()
        if learnt is None and self._calm >= CALM_BLOCKS_MIN * KEEP**CALM_BLOCKS_MIN:
            return self._at_least()
        if learnt is not None:
            value, own_spread = learnt
            trust = spread**2 / (spread**2 + own_spread**2)
            rate = math.exp((1.0 - trust) * math.log(rate) + trust * math.log(value))
            spread = math.sqrt(1.0 / (1.0 / spread**2 + 1.0 / own_spread**2))
        return Capacity(
            rate_per_instance=rate,
            low=rate * math.exp(-Z * spread),
            high=rate * math.exp(Z * spread),
            samples=self._fit.weight * BLOCK_S or self._prior_samples,
            busy_max=self._busy_max() if any(self._seen) else self._prior_busy_max,
        )

    def _at_least(self) -> Capacity:
        """Of instances that are hardly used: what they would carry if the little they do took all of BUSY_MIN. It lets
        those go that nobody needs; a prior that is far off is believed no further than its own lower end."""
        low, high = (self._prior_rate * math.exp(sign * Z * self._prior_spread) for sign in (-1, 1))
        rate = max(low, self._calm_rate / self._calm / BUSY_MIN)
        return Capacity(rate_per_instance=rate, low=rate, high=max(rate, high), samples=self._calm * BLOCK_S)

    def _busy_max(self) -> float | None:
        """The upper end of what was healthy below the lowest share at which the bound was broken too often."""
        healthy = None
        for at, (seen, slow) in enumerate(zip(self._seen, self._slow, strict=True)):
            if seen < BIN_BLOCKS_MIN:
                continue
            if slow > SLOW_SHARE_MAX * seen:
                return healthy if healthy is not None else max(at, 1) / BINS
            healthy = (at + 1) / BINS
        return None


def _is_sound(seen: CapacitySeen) -> bool:
    if seen.instances <= 0 or not 0.0 <= seen.calls < math.inf or not 0.0 <= seen.waiting < math.inf:
        return False
    return seen.busy is None or 0.0 <= seen.busy <= BUSY_MAX


class _Block:
    """Some seconds with the same number of instances."""

    __slots__ = ("_busy_s", "_known_s", "_slow_s", "_waiting_s", "calls", "instances", "seconds")

    def __init__(self) -> None:
        self.seconds = self.instances = 0
        self.calls = self._busy_s = 0.0
        self._known_s = self._waiting_s = self._slow_s = 0

    def take(self, seen: CapacitySeen, slo_p95_ms: float) -> None:
        self.seconds += 1
        self.instances = seen.instances
        self.calls += seen.calls
        if seen.busy is not None:
            self._busy_s += min(1.0, seen.busy)
            self._known_s += 1
        self._waiting_s += seen.waiting >= seen.instances
        self._slow_s += seen.latency_p95_ms is not None and seen.latency_p95_ms > slo_p95_ms

    @property
    def busy(self) -> float | None:
        """All of it while calls waited throughout, whatever CPU says: what is scarce then may be something else."""
        if self._waiting_s == self.seconds:
            return 1.0
        return self._busy_s / self._known_s if self._known_s == self.seconds else None

    @property
    def slow(self) -> float:
        return self._slow_s / self.seconds


class _Fit:
    """`busy = idle + cost * rate`, least squares with idle drawn to 0 as one observation of it would."""

    __slots__ = ("_busy", "_rate", "_rate_busy", "_rate_rate", "_residual", "weight")

    def __init__(self) -> None:
        self.weight = self._rate = self._busy = self._rate_rate = self._rate_busy = 0.0
        self._residual = 0.0  # of squares of what did not fit

    def forget(self, keep: float) -> None:
        self.weight *= keep
        self._rate *= keep
        self._busy *= keep
        self._rate_rate *= keep
        self._rate_busy *= keep
        self._residual *= keep

    def take(self, rate: float, busy: float) -> None:
        known = self._solved()
        self.forget(KEEP)
        if known is not None:
            idle, cost = known
            self._residual += (busy - idle - cost * rate) ** 2
        self.weight += 1.0
        self._rate += rate
        self._busy += busy
        self._rate_rate += rate * rate
        self._rate_busy += rate * busy

    def is_outlier(self, rate: float, busy: float) -> bool:
        known = self._solved()
        if known is None:
            return False
        idle, cost = known
        return abs(busy - min(1.0, idle + cost * rate)) > max(6.0 * self._noise(), 0.1 + 0.25 * busy)

    def capacity(self) -> tuple[float, float] | None:
        """Calls a second at which an instance is always busy, and the standard deviation of its logarithm."""
        known = self._solved()
        if known is None:
            return None
        idle, cost = known
        value = (1.0 - idle) / cost
        shrunk = self.weight + self._drawn
        determinant = shrunk * self._rate_rate - self._rate * self._rate
        noise = self._noise() ** 2 * AUTOCORRELATION / determinant
        of_idle, of_cost, both = noise * self._rate_rate, noise * shrunk, -noise * self._rate
        variance = of_idle / (1.0 - idle) ** 2 + of_cost / cost**2 + 2.0 * both / ((1.0 - idle) * cost)
        return value, max(SPREAD_MIN, math.sqrt(max(0.0, variance)))

    @property
    def _drawn(self) -> float:
        return AUTOCORRELATION * NOISE**2 / IDLE_SPREAD**2

    def _solved(self) -> tuple[float, float] | None:
        """Busy share when idle, and what a call a second costs of it."""
        shrunk = self.weight + self._drawn
        determinant = shrunk * self._rate_rate - self._rate * self._rate
        if determinant <= 0.0:
            return None
        idle = (self._busy * self._rate_rate - self._rate * self._rate_busy) / determinant
        idle = min(0.5, max(0.0, idle))
        cost = (self._rate_busy - idle * self._rate) / self._rate_rate
        return (idle, cost) if cost > 0.0 else None

    def _noise(self) -> float:
        return max(NOISE, math.sqrt(self._residual / self.weight)) if self.weight else NOISE
