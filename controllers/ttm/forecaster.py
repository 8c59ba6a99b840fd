"""From what is known of all slices to forecasts of their load, in one run of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
import onnxruntime

from controllers.ttm.card import SHIPPED, ModelCard, read_model
from controllers.ttm.errors import ForecastUnusable, ModelMemoryExceeded, ModelSchemaWrong, ModelUnreadable, TtmFault
from controllers.ttm.head import Head
from controllers.ttm.history import Floats, Histories
from controllers.ttm.load_forecast import LoadForecast, load_forecast
from controllers.ttm.schema import (
    ALIGNED,
    DAY_AGO,
    FEATURES,
    FORECAST,
    HEAD_BIAS,
    HEAD_WEIGHT,
    HISTORY,
    HORIZONS,
    NORMALISATION,
    QUANTILES,
    RECENT,
    WEEK_AGO,
)

ERRORS_ONLY: Final = 3  # of onnxruntime's levels of logging
OUT_OF_MEMORY: Final = ("bad_alloc", "Failed to allocate memory")
_INPUTS: Final = {RECENT: HISTORY, DAY_AGO: ALIGNED, WEEK_AGO: ALIGNED}
_HEAD_ROWS: Final = HORIZONS * len(QUANTILES)


class Forecaster(Protocol):
    """What layer 2 asks each minute."""

    def forecast(self, histories: Histories) -> list[LoadForecast]:
        """Of those slices of which enough is known. Raises TtmFault."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """quantiles [n, 10, 8] in requests a minute; features [n, d] and normalisation [n, 4] for those who fit a head."""

    quantiles: Floats
    features: Floats
    normalisation: Floats


class OnnxForecaster:
    """One model in onnxruntime, on one thread. It is not changed once made: another head is another forecaster, which
    shares the session."""

    def __init__(self, session: onnxruntime.InferenceSession, card: ModelCard, head: Head | None = None) -> None:
        self._session = session
        self.card = card
        self._head = {} if head is None else {HEAD_WEIGHT: head.weight, HEAD_BIAS: head.bias}

    def with_head(self, head: Head) -> OnnxForecaster:
        """Raises ModelSchemaWrong."""
        shapes = {each.name: tuple(each.shape) for each in self._session.get_overridable_initializers()}
        found = {HEAD_WEIGHT: head.weight.shape, HEAD_BIAS: head.bias.shape}
        if found != {name: shapes[name] for name in found}:
            raise ModelSchemaWrong(f"the head's shapes are {found}; the model takes {shapes}")
        return OnnxForecaster(self._session, self.card, head)

    def forecast(self, histories: Histories) -> list[LoadForecast]:
        """Raises ForecastUnusable."""
        clean = histories.cleaned()
        known = clean.only(clean.foreseeable())
        if not known.slices:
            return []
        quantiles = self.run(known).quantiles
        return [load_forecast(name, found.tobytes()) for name, found in zip(known.slices, quantiles, strict=True)]

    def run(self, histories: Histories) -> Answer:
        """All rows as they are, checked only for what comes out. Raises ForecastUnusable."""
        given = {RECENT: histories.recent, DAY_AGO: histories.day_ago, WEEK_AGO: histories.week_ago}
        try:
            found = self._session.run([FORECAST, FEATURES, NORMALISATION], {**given, **self._head})
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise _fault(error, ForecastUnusable(f"the model did not run: {error}")) from error
        quantiles, features, normalisation = cast(list[Floats], found)
        _check(quantiles)
        return Answer(quantiles=quantiles, features=features, normalisation=normalisation)


def load_forecaster(directory: Path = SHIPPED) -> OnnxForecaster:
    """The model of a directory; by default the one that comes with the package. Raises ModelUnreadable,
    ModelSchemaWrong."""
    return forecaster_of(*read_model(directory))


def forecaster_of(graph: bytes, card: ModelCard) -> OnnxForecaster:
    """Raises ModelUnreadable, ModelSchemaWrong."""
    session = _session(graph)
    _check_schema(session)
    return OnnxForecaster(session, card)


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.enable_cpu_mem_arena = False  # it would keep what the largest batch took
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise _fault(error, ModelUnreadable(f"onnxruntime does not take the model: {error}")) from error


def _fault(error: Exception, otherwise: TtmFault) -> TtmFault:
    """onnxruntime tells that there is no memory in words alone."""
    words = str(error)
    if isinstance(error, MemoryError) or any(each in words for each in OUT_OF_MEMORY):
        return ModelMemoryExceeded(words)
    return otherwise


def _check_schema(session: onnxruntime.InferenceSession) -> None:
    inputs = {each.name: list(each.shape[1:]) for each in session.get_inputs()}
    outputs = {each.name: list(each.shape[1:]) for each in session.get_outputs()}
    heads = {each.name: list(each.shape) for each in session.get_overridable_initializers()}
    if inputs != {name: [width] for name, width in _INPUTS.items()}:
        raise ModelSchemaWrong(f"the model's inputs are {inputs}; wanted are {_INPUTS}")
    if outputs.get(FORECAST) != [HORIZONS, len(QUANTILES)] or not {FEATURES, NORMALISATION} <= outputs.keys():
        raise ModelSchemaWrong(f"the model's outputs are {outputs}")
    width = outputs[FEATURES]
    if heads != {HEAD_WEIGHT: [_HEAD_ROWS, *width], HEAD_BIAS: [_HEAD_ROWS]}:
        raise ModelSchemaWrong(f"the model's head is {heads}")


def _check(quantiles: Floats) -> None:
    if not np.isfinite(quantiles).all():
        raise ForecastUnusable("the model gave what is no number")
    if (quantiles < 0).any() or (np.diff(quantiles, axis=-1) < 0).any():
        raise ForecastUnusable("the model gave negative loads or quantiles that cross")
