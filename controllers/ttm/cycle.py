"""One minute of forecasting, for all slices at once: settle what was said before, say what comes, calibrate it.

No clock and no I/O: the same minutes give the same forecasts in control, in evaluations and in a replay. It is told
which model to ask; a swap takes effect between two minutes.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import numpy as np

from controllers.ttm.calibration import HIGH, LOW, Calibration, CalibrationState, Outcome, outcome_of
from controllers.ttm.contest import ContestPolicy, Probation, ProbationState, pinball
from controllers.ttm.drift import DriftCause, DriftWatch, WatchState
from controllers.ttm.due import DueForecasts, DueState, Floats
from controllers.ttm.errors import TtmFault
from controllers.ttm.history import Histories
from controllers.ttm.load_forecast import LoadForecast
from controllers.ttm.schema import HORIZONS, MEDIAN, QUANTILES
from controllers.ttm.standing import Standing

_LEVELS: Final = np.array(QUANTILES)
_BAND: Final = [QUANTILES.index(LOW), QUANTILES.index(HIGH)]
_LOAD_LEAST: Final = 1.0  # requests a minute, of the mean that losses are told in
NEVER: Final = -1  # a minute before all others


class Model(Protocol):
    """What a cycle asks: an OnnxForecaster, or what evaluations compare it with."""

    def quantiles(self, histories: Histories) -> Floats:
        """[n, HORIZONS, len(QUANTILES)], requests a minute. Raises TtmFault."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one minute brought."""

    minute: int
    """The newest that was seen: the forecasts begin with the one after it."""
    forecasts: Mapping[str, LoadForecast]
    """Calibrated; of those slices of which enough is known."""
    drifted: Mapping[str, DriftCause] = field(default_factory=dict)
    outcome: Outcome
    standing: Standing | None = None
    """Of a newly crowned model, while it is on probation; BACK: the one before forecasts again, from this minute on."""


class CycleState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a cycle knows but its models: it outlives the process that asked them. Of 200 slices 1.5 MB."""

    calibration: CalibrationState
    said: DueState
    watches: dict[str, WatchState]
    former_said: DueState
    probation: ProbationState | None
    since: int


class Cycle:
    """State of all slices. Not safe to use from two threads at once."""

    def __init__(self, champion: Model, *, contest: ContestPolicy | None = None) -> None:
        self.champion = champion
        self.calibration = Calibration(horizons=HORIZONS)
        self._contest = contest or ContestPolicy()
        self._watches: dict[str, DriftWatch] = {}
        self._said = DueForecasts(horizons=HORIZONS, width=len(QUANTILES))
        self._former: Model | None = None
        self._former_said = DueForecasts(horizons=HORIZONS, width=len(QUANTILES))
        self._probation: Probation | None = None
        self._since = NEVER

    def crown(self, model: Model, *, probation: bool = True, since: int = NEVER) -> None:
        """From the next minute on this one forecasts; the one before is asked too, for comparison, while it is on
        probation. Factors stay: they are right again within hours whatever the model. since: only minutes after it are
        compared; those up to it the model has learnt from."""
        self._since = since
        self._former = self.champion if probation else None
        self._former_said = DueForecasts(horizons=HORIZONS, width=len(QUANTILES))
        self._probation = Probation(self._contest) if probation else None
        self.champion = model

    def back(self) -> None:
        """The one before forecasts again, if one is on probation."""
        if self._former is not None:
            self.crown(self._former, probation=False)

    def state(self) -> CycleState:
        return CycleState(
            calibration=self.calibration.state(),
            said=self._said.state(),
            watches={name: watch.state() for name, watch in self._watches.items()},
            former_said=self._former_said.state(),
            probation=self._probation.state() if self._probation is not None else None,
            since=self._since,
        )

    def resume(self, state: CycleState, former: Model | None) -> None:
        """Goes on where another left off. former: while the champion is on probation. Raises ValueError."""
        self.crown(self.champion, probation=False, since=state.since)
        self.calibration.resume(state.calibration)
        self._said.resume(state.said)
        for name, watch in state.watches.items():
            self._watches[name] = DriftWatch()
            self._watches[name].resume(watch)
        if former is not None and state.probation is not None:
            self._former, self._probation = former, Probation(self._contest)
            self._former_said.resume(state.former_said)
            self._probation.resume(state.probation)

    def start_from(self, slices: Sequence[str], factors: Mapping[str, Sequence[float]]) -> None:
        """Bands as an earlier leader had calibrated them."""
        self.calibration.keep(slices)
        self.calibration.start_from(factors)

    def factors(self) -> dict[str, tuple[float, ...]]:
        """By slice, the logarithms of its bands' factors, for the next leader."""
        rows = np.round(self.calibration.log_factors, 3).tolist()
        return {name: tuple(row) for name, row in zip(self.calibration.slices, rows, strict=True)}

    def coverage(self, slice_name: str) -> float | None:
        """Of the model's own band, in the last 12 hours."""
        watch = self._watches.get(slice_name)
        return watch.coverage if watch is not None else None

    def minute(self, minute: int, histories: Histories) -> Tick:
        """histories: up to and with that minute. A model on probation that fails is replaced within the minute.
        Raises TtmFault; then nothing was said, and what was settled stays."""
        clean = histories.cleaned()
        self._keep(clean.slices)
        load = clean.recent[:, -1].astype(np.float64)
        drifted = self._watch(self._said.due(minute), load)
        outcome = self.calibration.observe(minute, load)
        standing = self._compare(minute, clean, load)
        if standing is Standing.BACK:
            self.back()
        elif standing is Standing.KEPT:
            self.crown(self.champion, probation=False)
        try:
            forecasts = self._say(minute, clean)
        except TtmFault:
            if self._former is None:
                raise
            self.back()
            forecasts, standing = self._say(minute, clean), Standing.BACK
        return Tick(minute=minute, forecasts=forecasts, drifted=drifted, outcome=outcome, standing=standing)

    def _keep(self, slices: tuple[str, ...]) -> None:
        self.calibration.keep(slices)
        self._said.keep(slices)
        self._former_said.keep(slices)
        self._watches = {name: self._watches.get(name) or DriftWatch() for name in slices}

    def _watch(self, said: Floats, load: Floats) -> dict[str, DriftCause]:
        """Feeds each slice's watch with how the model did one minute ahead."""
        next_minute = said[:, 0]
        low, high = next_minute[:, _BAND[0]], next_minute[:, _BAND[1]]
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = ((load - next_minute[:, MEDIAN]) / np.maximum(high - low, 1e-9)).tolist()
        covered = outcome_of(next_minute[:, None, _BAND], load).covered[:, 0].tolist()
        found = {}
        for name, error, inside in zip(self._said.slices, errors, covered, strict=True):
            cause = self._watches[name].observe(error=error, covered=inside)
            if cause is not None:
                found[name] = cause
        return found

    def _compare(self, minute: int, histories: Histories, load: Floats) -> Standing | None:
        if self._probation is None:
            return None
        if minute <= self._since:
            return Standing.ON_PROBATION
        now, before = (_mean_loss(said.due(minute), histories, load) for said in (self._said, self._former_said))
        return self._probation.observe(before=before, now=now)

    def _say(self, minute: int, histories: Histories) -> dict[str, LoadForecast]:
        known = histories.foreseeable()
        asked = histories.only(known)
        quantiles = np.full((len(known), HORIZONS, len(QUANTILES)), np.nan)
        if asked.slices:
            quantiles[known] = self.champion.quantiles(asked)
            if self._former is not None:
                former = np.full_like(quantiles, np.nan)
                former[known] = self._former.quantiles(asked)
                self._former_said.add(minute, former)
        self._said.add(minute, quantiles)
        calibrated = self.calibration.issue(minute, quantiles, QUANTILES)[known].astype(np.float32)
        return {
            name: LoadForecast(slice=name, quantiles=array("f", found.tobytes()))
            for name, found in zip(asked.slices, calibrated, strict=True)
        }


def _mean_loss(said: Floats, histories: Histories, load: Floats) -> float:
    """Over all slices and horizons, of what was said about this minute, as a part of each slice's mean load; NaN where
    nothing can be said."""
    target = np.repeat(load[:, None], HORIZONS, axis=1)
    losses = pinball(said, _LEVELS, target)
    known = np.isfinite(losses)
    if not known.any():
        return float("nan")
    means = np.maximum(np.nanmean(histories.recent[known], axis=1), _LOAD_LEAST)
    return float((losses[known] / means).mean())
