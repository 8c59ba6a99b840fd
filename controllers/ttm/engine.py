"""One minute of forecasting as the forecaster's process computes it: from the job to its answer.

What is learnt from minute to minute travels with the job, so that the process ends when it has answered. Pure but for
the file of the shipped model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from controllers.ttm.cycle import Cycle, CycleState, Tick
from controllers.ttm.due import Floats
from controllers.ttm.errors import ForecastUnusable, TtmFault
from controllers.ttm.forecast_job import (
    CheckAnswer,
    CheckJob,
    ForecastAnswer,
    ForecastJob,
    ModelBytes,
    PastAsked,
    PastMinute,
    Take,
    Trouble,
)
from controllers.ttm.forecaster import OnnxForecaster, forecaster_of, load_forecaster
from controllers.ttm.head_file import unpack_head
from controllers.ttm.history import Histories
from controllers.ttm.model_file import unpack_model
from controllers.ttm.past import Loads, Past, caught_up, past_of
from controllers.ttm.schema import ALIGNED, HISTORY
from controllers.ttm.standing import Standing
from controllers.ttm.trail import band_of
from controllers.ttm.validation import Probe, failures_of, histories_of

FAILURES_CHARS_MAX: Final = 500

OpenGraph = Callable[[bytes], OnnxForecaster]
"""A model's file; empty is the shipped one. Raises TtmFault."""


@dataclass(frozen=True, slots=True)
class AskedModel:
    """Implements cycle.Model."""

    forecaster: OnnxForecaster

    def quantiles(self, histories: Histories) -> Floats:
        return self.forecaster.run(histories).quantiles.astype(np.float64)


def open_graph(file: bytes) -> OnnxForecaster:
    """Implements OpenGraph."""
    return forecaster_of(*unpack_model(file)) if file else load_forecaster()


class Models:
    """Opens each graph once, whatever heads stand on it."""

    def __init__(self, opening: OpenGraph) -> None:
        self._open = opening
        self._graphs: dict[bytes, OnnxForecaster] = {}

    def asked(self, model: ModelBytes, *, probed: bool = False) -> AskedModel:
        """probed: asked about loads that are hard for models before it is trusted with real ones. Raises TtmFault."""
        if model.file not in self._graphs:
            self._graphs[model.file] = self._open(model.file)
        forecaster = self._graphs[model.file]
        if model.head:
            forecaster = forecaster.with_head(unpack_head(model.head, forecaster.card.sha256))
        for make in Probe.MADE.values() if probed else ():
            forecaster.run(histories_of(make(), known_before=False))
        return AskedModel(forecaster)


@dataclass(slots=True)
class _Found:
    """What came before the minute itself."""

    refused: Trouble | None = None
    past: tuple[PastMinute, ...] = ()
    drifted: dict[str, str] | None = None
    standing: Standing | None = None
    past_trouble: Trouble | None = None


def carry_out(job: ForecastJob, opening: OpenGraph = open_graph) -> ForecastAnswer:
    """What the forecaster's process answers, also when it has no forecast."""
    models = Models(opening)
    try:
        cycle = Cycle(models.asked(job.now))
        if job.state:
            former = models.asked(job.before) if job.before is not None else None
            cycle.resume(msgspec.msgpack.decode(job.state, type=CycleState), former)
    except TtmFault as fault:
        return ForecastAnswer(trouble=trouble_of(fault))
    found = _Found()
    if job.take is not None:
        found.refused = _taken(cycle, models, job.take)
    if job.past is not None:
        _catch_up(cycle, job, job.past, found)
    return _minute(cycle, job, found)


def check(job: CheckJob) -> CheckAnswer:
    """Whether it opens, and stands all that validate asks."""
    try:
        failures = failures_of(open_graph(job.file))
    except TtmFault as fault:
        return CheckAnswer(trouble=trouble_of(fault))
    if failures:
        return CheckAnswer(trouble=Trouble(ForecastUnusable.code, "; ".join(failures)[:FAILURES_CHARS_MAX]))
    return CheckAnswer()


def trouble_of(fault: TtmFault) -> Trouble:
    return Trouble(fault.code, str(fault))


def _taken(cycle: Cycle, models: Models, take: Take) -> Trouble | None:
    """None when it forecasts; else nothing has changed."""
    try:
        now = models.asked(take.now, probed=True)
        before = models.asked(take.before, probed=True) if take.before is not None else None
    except TtmFault as fault:
        return trouble_of(fault)
    if before is not None:
        cycle.crown(before, probation=False)
    cycle.crown(now, probation=before is not None, since=take.since)
    return None


def _catch_up(cycle: Cycle, job: ForecastJob, asked: PastAsked, found: _Found) -> None:
    past = past_of(job.minute - 1, asked.count, _unpacked(asked.loads))
    try:
        done = caught_up(cycle, past, job.slices, trained_until=asked.trained_until, kept=asked.kept)
    except TtmFault as fault:
        found.past_trouble = trouble_of(fault)
        return
    found.drifted, found.standing = {name: str(cause) for name, cause in done.drifted.items()}, done.standing
    found.past = tuple(_past_minute(past, job.slices, tick) for tick in done.newest)


def _past_minute(past: Past, slices: tuple[str, ...], tick: Tick) -> PastMinute:
    said = {name: band_of(each, 1) for name, each in tick.forecasts.items()}
    return PastMinute(tick.minute, past.rates(slices, tick.minute), said)


def _minute(cycle: Cycle, job: ForecastJob, found: _Found) -> ForecastAnswer:
    """Bands that an earlier leader calibrated come after the past: they are the better ones."""
    if not job.state and job.slices:
        cycle.start_from(job.slices, job.factors)
    answer = ForecastAnswer(refused=found.refused, past=found.past, past_trouble=found.past_trouble)
    try:
        tick = cycle.minute(job.minute, _histories(job))
    except TtmFault as fault:
        state = msgspec.msgpack.encode(cycle.state())
        return msgspec.structs.replace(answer, trouble=trouble_of(fault), state=state)
    return msgspec.structs.replace(
        answer,
        quantiles={name: each.quantiles.tobytes() for name, each in tick.forecasts.items()},
        drifted={**(found.drifted or {}), **{name: str(cause) for name, cause in tick.drifted.items()}},
        standing=tick.standing if tick.standing is not None else found.standing,
        factors=cycle.factors(),
        state=msgspec.msgpack.encode(cycle.state()),
    )


def _histories(job: ForecastJob) -> Histories:
    loads = _unpacked(job.loads)
    return Histories(
        slices=job.slices,
        recent=_rows(loads[0::3], HISTORY),
        day_ago=_rows(loads[1::3], ALIGNED),
        week_ago=_rows(loads[2::3], ALIGNED),
    )


def _unpacked(loads: Sequence[bytes]) -> list[Loads]:
    return [np.frombuffer(each, dtype=np.float32) for each in loads]


def _rows(loads: Sequence[Loads], width: int) -> Loads:
    return np.array(loads, dtype=np.float32).reshape(-1, width)
