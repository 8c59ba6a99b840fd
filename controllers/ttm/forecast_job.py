"""What control gives the forecaster's process each minute, and what it gets back: bytes through pipes, no code."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from controllers.ttm.standing import Standing
from controllers.ttm.trail import Band


class ModelBytes(msgspec.Struct, frozen=True, kw_only=True):
    """file: as model_file packs it; empty is the model that is shipped. head: as head_file packs it; empty is the
    graph's own."""

    file: bytes = b""
    head: bytes = b""


SHIPPED_MODEL = ModelBytes()


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """A model that shall forecast from this minute on. before: what it is on probation beside. since: as Cycle.crown
    takes it."""

    now: ModelBytes
    before: ModelBytes | None = None
    since: int = -1


class PastAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes before this one that are forecast anew, and their loads as past.past_of takes them, packed. The rest as
    past.caught_up takes it."""

    count: int
    loads: tuple[bytes, ...]
    trained_until: int
    kept: int


class ForecastJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """loads: of each slice three in turn, as live.spans_of asks for them, packed. state: what the job before gave back;
    empty begins anew, with bands stretched by `factors`. now, before: the model in force, and the one beside it."""

    minute: int
    slices: tuple[str, ...]
    loads: tuple[bytes, ...]
    state: bytes = b""
    factors: dict[str, tuple[float, ...]] = {}
    now: ModelBytes = SHIPPED_MODEL
    before: ModelBytes | None = None
    take: Take | None = None
    past: PastAsked | None = None


class Trouble(msgspec.Struct, frozen=True):
    code: str
    reason: str


class PastMinute(msgspec.Struct, frozen=True, array_like=True):
    """Requests a second by slice: what came in that minute, and what was said of the next one."""

    minute: int
    rates: dict[str, float]
    said: dict[str, Band]


class ForecastAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """quantiles: by slice, packed as load_forecast reads them. refused: why the model to take was not; the one in
    force went on. past_trouble: why the past was not forecast. trouble: why there is no forecast."""

    quantiles: dict[str, bytes] = {}
    drifted: dict[str, str] = {}
    standing: Standing | None = None
    factors: dict[str, tuple[float, ...]] = {}
    past: tuple[PastMinute, ...] = ()
    state: bytes = b""
    refused: Trouble | None = None
    past_trouble: Trouble | None = None
    trouble: Trouble | None = None


class CheckJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A model that somebody wants to add, as model_file packs it: can it be used?"""

    file: bytes


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """trouble: why not."""

    trouble: Trouble | None = None


def packed(loads: Sequence[Sequence[float]]) -> tuple[bytes, ...]:
    """Each as 32-bit floats."""
    return tuple(array("f", each).tobytes() for each in loads)
