"""Adaptive conformal calibration: a factor per slice and horizon stretches the bands, so that they cover what they say.

After Gibbs & Candès 2021 (adaptive conformal inference), on a logarithmic scale: a miss widens the band by `step` times
the wanted coverage, a hit narrows it by `step` times the rest, so that in the long run the wanted part is covered,
whatever the model does. Pure: the minute and what was seen are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from controllers.ttm.due import DueForecasts, DueState, Floats

Flags = NDArray[np.bool_]

LOW, HIGH = 0.05, 0.95
"""Quantiles between which the band lies that is held to its word."""
WIDTH_SHARE_MIN: Final = 1e-3  # of the median: a band without width could not be stretched
WIDTH_MIN: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPolicy:
    """The factor moves between exp(-log_max) and exp(log_max)."""

    miss: float = 1.0 - (HIGH - LOW)
    step: float = 0.06
    log_max: float = 3.0


def stretched(quantiles: Floats, log_factors: Floats, middle: int) -> Floats:
    """The quantiles, with their distance from the median times the factor; never below nothing, never crossing.

    quantiles: (slices, horizons, quantiles), ascending; log_factors: (slices, horizons); middle: the median's index.
    """
    median = quantiles[..., middle : middle + 1]
    away = (quantiles - median) * np.exp(log_factors)[..., None]
    least = np.maximum(WIDTH_SHARE_MIN * np.abs(median), WIDTH_MIN)
    away[..., :middle] = np.minimum(away[..., :middle], -least)
    away[..., middle + 1 :] = np.maximum(away[..., middle + 1 :], least)
    return np.maximum(median + away, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the bands of earlier minutes did in the minute that ended. `known` says where there was one to compare."""

    covered: Flags
    """(slices, horizons): inside the stretched band."""
    known: Flags


class CalibrationState(msgspec.Struct, frozen=True, kw_only=True):
    """Between two processes. log_factors: 64-bit floats."""

    log_factors: bytes
    bands: DueState


class Calibration:
    """The factors of all slices, and the bands that wait for what really came."""

    def __init__(self, *, horizons: int, policy: CalibrationPolicy | None = None) -> None:
        self.policy = policy or CalibrationPolicy()
        self.log_factors: Floats = np.zeros((0, horizons))
        self._bands = DueForecasts(horizons=horizons, width=2)

    @property
    def slices(self) -> tuple[str, ...]:
        return self._bands.slices

    def keep(self, slices: Sequence[str]) -> None:
        """From now on these, in this order. Who stays keeps factors and bands; a new one begins with the model's."""
        rows = {name: row for row, name in enumerate(self.slices)}
        factors = np.zeros((len(slices), self.log_factors.shape[1]))
        for row, name in enumerate(slices):
            if name in rows:
                factors[row] = self.log_factors[rows[name]]
        self.log_factors = factors
        self._bands.keep(slices)

    def start_from(self, factors: Mapping[str, Sequence[float]]) -> None:
        """Factors that an earlier leader had learnt; what is no use is passed over."""
        for row, name in enumerate(self.slices):
            given = np.asarray(factors.get(name, ()), dtype=np.float64)
            if given.shape == self.log_factors.shape[1:] and np.isfinite(given).all():
                self.log_factors[row] = np.clip(given, -self.policy.log_max, self.policy.log_max)

    def state(self) -> CalibrationState:
        return CalibrationState(log_factors=self.log_factors.tobytes(), bands=self._bands.state())

    def resume(self, state: CalibrationState) -> None:
        """Raises ValueError for what has another shape."""
        self._bands.resume(state.bands)
        shape = (len(self.slices), self.log_factors.shape[1])
        self.log_factors = np.frombuffer(state.log_factors, dtype=np.float64).reshape(shape).copy()

    def issue(self, minute: int, quantiles: Floats, levels: Sequence[float]) -> Floats:
        """The calibrated quantiles, whose bands are remembered until what they speak of has come.

        minute: the last one that was seen: horizon 1 is the one after it. quantiles: (slices, horizons, quantiles).
        """
        calibrated = stretched(quantiles, self.log_factors, levels.index(0.5))
        self._bands.add(minute, calibrated[..., [levels.index(LOW), levels.index(HIGH)]])
        return calibrated

    def observe(self, minute: int, load: Floats) -> Outcome:
        """Moves the factors by what the minute brought. load: (slices,), NaN where it is not known."""
        outcome = outcome_of(self._bands.due(minute), load)
        missed = np.where(outcome.covered, 0.0, 1.0) - self.policy.miss
        moved = self.log_factors + self.policy.step * np.where(outcome.known, missed, 0.0)
        self.log_factors = np.clip(moved, -self.policy.log_max, self.policy.log_max)
        return outcome


def outcome_of(bands: Floats, load: Floats) -> Outcome:
    """bands: (slices, horizons, 2), low and high; load: (slices,). NaN is not known."""
    came = load[:, None]
    known = np.isfinite(bands).all(axis=-1) & np.isfinite(came)
    with np.errstate(invalid="ignore"):
        covered = known & (bands[..., 0] <= came) & (came <= bands[..., 1])
    return Outcome(covered=covered, known=known)
