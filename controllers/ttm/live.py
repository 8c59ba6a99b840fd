"""Forecasts, live: once a minute, for all slices in one batch, on the leader, in a process that ends with its answer.

What the forecaster learns travels with each job as bytes that mean nothing here. Whatever goes wrong costs forecasts
and nothing else: layer 1 goes on alone, the reason stands in an event, and the next minute tries again.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import anyio

from controllers.ttm.errors import ForecastRefused
from controllers.ttm.forecast_job import (
    SHIPPED_MODEL,
    ForecastAnswer,
    ForecastJob,
    ModelBytes,
    PastAsked,
    Take,
    Trouble,
    packed,
)
from controllers.ttm.load_forecast import LoadForecast, load_forecast
from controllers.ttm.records import ForecastActive, ForecastState
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, KNOWN_MIN, NEWEST_MAX, WEEK_DAYS
from controllers.ttm.standing import Standing
from controllers.ttm.trail import MINUTE_S, Band, SaidMinute, Trail, band_of
from controllers.ttm.trail import MINUTES as TRAIL_MINUTES
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault

GRACE_S: Final = 3.0  # of the minute's last second figures come within one, and are written within another
TICK_S: Final = 30.0  # a process takes a third of a second of a core, and a new leader's past some seconds more
STALE_S: Final = 150.0  # a forecast speaks of ten minutes, but after two that nobody made anew it is not trusted
SLICES_MAX: Final = 2_000
REASON_MAX: Final = 500
DAY_MINUTES: Final = 1_440
SPANS: Final = 3  # that a forecast looks at
PAST_MINUTES: Final = 721  # that a new leader forecasts anew: the twelve hours that drift is judged by
PAST_MINUTES_MAX: Final = 1_441  # on probation, which lasts a day
PAST_SERIES_MAX: Final = 150_000  # of slices times minutes: about four seconds of a core before the first forecast
KEEP_EVERY: Final = 15  # minutes between two records of the bands' factors: a new leader is at most so far behind


class Span(NamedTuple):
    """So many minutes of one slice's load from `first` on."""

    slice: str
    first: int
    minutes: int


class Minutes(Protocol):
    """Where the history of loads is: requests a minute, NaN where nobody measured."""

    def slices(self) -> Sequence[str]:
        """Those that are deployed, by name."""
        ...

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]: ...


Ask = Callable[[ForecastJob], Awaitable[ForecastAnswer]]
"""One job in a process of its own. Raises TtmFault when that came to no answer."""


class Forecasts(Protocol):
    """What the loop of scaling asks."""

    def latest(self, slice_name: str) -> LoadForecast | None:
        """Calibrated, from the last minute that was over. None: there is none that could be trusted."""
        ...

    def said(self, slice_name: str) -> Sequence[SaidMinute]:
        """What was said of each minute just before it began, and what came; oldest first."""
        ...

    def ahead(self, slice_name: str) -> Sequence[Band]:
        """Of the next ten minutes, as `latest`; none where there is none."""
        ...


class NoForecasts:
    """Implements Forecasts where there are none."""

    def latest(self, slice_name: str) -> LoadForecast | None:
        del slice_name
        return None

    def said(self, slice_name: str) -> Sequence[SaidMinute]:
        del slice_name
        return ()

    def ahead(self, slice_name: str) -> Sequence[Band]:
        del slice_name
        return ()


class Told(NamedTuple):
    """What one minute said, and when it was said."""

    at_s: float
    forecasts: Mapping[str, LoadForecast]


NOTHING: Final = Told(0.0, {})


class InForce(NamedTuple):
    """Which model forecasts, and its bytes; `before` while it is on probation beside another."""

    active: ForecastActive
    now: ModelBytes = SHIPPED_MODEL
    before: ModelBytes | None = None


class LiveForecasts:
    """Implements Forecasts; `run` is a leader service."""

    def __init__(
        self,
        *,
        minutes: Minutes,
        registry: ModelRegistry,
        ask: Ask,
        drifted: Callable[[Mapping[str, str]], None],
        clock: Clock,
        log: Lines,
        past_minutes: int = PAST_MINUTES,
    ) -> None:
        """drifted: hears by slice of what has changed. past_minutes: that are forecast anew when it begins to lead; 0
        begins with nothing."""
        self._minutes = minutes
        self._registry = registry
        self._ask = ask
        self._drifted = drifted
        self._clock = clock
        self._log = log
        self._past_minutes = past_minutes
        self._told = NOTHING
        self._trail = Trail()
        self._state = b""
        """Empty until the first minute of a lead has been answered."""
        self._past_due = True
        self._in_force = InForce(ForecastActive())
        self._refused: tuple[tuple[int, int], str] | None = None
        self._said: tuple[object, ...] = ()

    def latest(self, slice_name: str) -> LoadForecast | None:
        if self._clock.monotonic_s() - self._told.at_s > STALE_S:
            return None
        return self._told.forecasts.get(slice_name)

    def said(self, slice_name: str) -> Sequence[SaidMinute]:
        return self._trail.of(slice_name)

    def ahead(self, slice_name: str) -> Sequence[Band]:
        found = self.latest(slice_name)
        return [band_of(found, minutes) for minutes in range(1, HORIZONS + 1)] if found is not None else ()

    async def run(self, fence: Revision) -> None:
        """Every minute, shortly after it is over. What a leader knew it takes with it."""
        try:
            last = -1
            while True:
                last = await self._minute_over(last)
                await self.tick(last, fence)
        finally:
            self._told, self._state, self._said, self._past_due = NOTHING, b"", (), True
            self._in_force = InForce(ForecastActive())
            self._trail.clear()

    async def _minute_over(self, last: int) -> int:
        """The newest minute that is over. A clock that was set back does not hold forecasts up: only the minute that
        was just seen is waited for."""
        while True:
            now = newest_minute(self._clock.unix_ms())
            if now.minute != last:
                return now.minute
            await anyio.sleep(now.next_in_s)

    async def tick(self, minute: int, fence: Revision) -> None:
        """Never raises: without a quorum forecasts are made as ever, and what there is to record waits."""
        slices = tuple(self._minutes.slices())[:SLICES_MAX]
        if not slices:  # and so nothing to load a model for
            self._told = NOTHING
            return
        answer, trouble = None, None
        try:
            with anyio.fail_after(TICK_S):
                answer = await self._forecast(minute, slices)
        except Exception as error:  # the outermost frame of layer 2: layer 1 goes on whatever is wrong here
            trouble = error
        self._told = Told(self._clock.monotonic_s(), _forecasts(answer)) if answer is not None else NOTHING
        try:
            await self._record(minute, answer, trouble, fence)
        except StoreFault as fault:
            self._log.warning("forecasts_not_recorded", code=fault.code, reason=str(fault))

    async def _record(
        self, minute: int, answer: ForecastAnswer | None, trouble: Exception | None, fence: Revision
    ) -> None:
        if answer is not None:
            await self._settle(answer, fence)
        await self._tell(trouble, fence)
        if answer is None:
            return
        if answer.drifted:
            self._drifted(answer.drifted)
        if minute % KEEP_EVERY == 0 and answer.factors:
            await self._registry.keep_factors(answer.factors, fence)

    async def _forecast(self, minute: int, slices: tuple[str, ...]) -> ForecastAnswer:
        """Raises TtmFault, and what the history raises. The first minute of a lead is asked whatever is known, so that
        a model that cannot be used is heard of before it is needed; no other for which nothing could be said."""
        loads = await self._minutes.loads([span for name in slices for span in spans_of(name, minute)])
        wanted = self._registry.active()
        take = await self._to_take(wanted)
        measured = {name: float(loads[SPANS * at][-1]) / MINUTE_S for at, name in enumerate(slices)}
        if self._state and take is None and not any(map(is_foreseeable, loads[::SPANS])):
            self._trail.note(minute, measured, {})
            return ForecastAnswer()
        begins = not self._state
        job = ForecastJob(
            minute=minute,
            slices=slices,
            loads=packed(loads),
            state=self._state,
            factors=self._registry.factors() if begins else {},
            now=self._in_force.now,
            before=self._in_force.before,
            take=take,
            past=await self._past(minute - 1, slices, wanted) if self._past_due and self._past_minutes else None,
        )
        self._past_due = False  # a past that takes longer than a minute has must not cost the next one too
        answer = await self._ask(job)
        self._past_due = not answer.state and begins
        self._state = answer.state or self._state
        self._note_take(wanted, job, answer)
        if answer.trouble is not None:
            raise ForecastRefused(answer.trouble.code, answer.trouble.reason)
        self._note_past(job, answer)
        said = {name: band_of(each, 1) for name, each in _forecasts(answer).items()}
        self._trail.note(minute, measured, said)
        return answer

    async def _past(self, last: int, slices: tuple[str, ...], wanted: ForecastActive) -> PastAsked | None:
        """What to forecast anew, up to that minute, as the leader before did: so drift, a probation and what was said
        of the last hour go on where they stood. Whatever fails here costs that knowledge and no forecast."""
        minutes = PAST_MINUTES_MAX if wanted.probation else self._past_minutes
        count = min(minutes, PAST_SERIES_MAX // len(slices))
        try:
            loads = await self._minutes.loads([span for name in slices for span in spans_of(name, last, count)])
        except RuntimeFault as fault:
            self._log.warning("forecasts_not_caught_up", code=fault.code, reason=str(fault))
            return None
        trained_until = max((each.last_minute for each in self._registry.models()), default=-1)
        return PastAsked(count=count, loads=packed(loads), trained_until=trained_until, kept=TRAIL_MINUTES)

    def _note_past(self, job: ForecastJob, answer: ForecastAnswer) -> None:
        if job.past is None:
            return
        if answer.past_trouble is not None:
            code, reason = answer.past_trouble.code, answer.past_trouble.reason
            self._log.warning("forecasts_not_caught_up", code=code, reason=reason)
            return
        for each in answer.past:
            self._trail.note(each.minute, each.rates, each.said)
        drifted = sorted(answer.drifted)
        self._log.info("forecasts_caught_up", minutes=job.past.count, slices=len(job.slices), drifted=drifted)

    async def _to_take(self, wanted: ForecastActive) -> Take | None:
        """The model that was chosen, where it does not forecast yet. One that cannot be had leaves the one in use at
        work, says so once, and is tried again each minute."""
        if _pair(wanted) == _pair(self._in_force.active):
            return None
        try:
            before = await self._registry.bytes_of(wanted.before) if wanted.probation else None
            now = await self._registry.bytes_of(wanted.number)
        except RuntimeFault as fault:
            self._note_refused(wanted, Trouble(fault.code, str(fault)))
            return None
        model = self._registry.model(wanted.number)
        return Take(now=now, before=before, since=model.last_minute if model is not None else -1)

    def _note_take(self, wanted: ForecastActive, job: ForecastJob, answer: ForecastAnswer) -> None:
        if job.take is None or not answer.state:
            return
        if answer.refused is not None:
            self._note_refused(wanted, answer.refused)
            return
        self._in_force, self._refused = InForce(wanted, job.take.now, job.take.before), None
        self._log.info("forecast_model_taken", model=wanted.number, probation=wanted.probation)

    def _note_refused(self, wanted: ForecastActive, trouble: Trouble) -> None:
        if self._refused != (refused := (_pair(wanted), trouble.code)):
            self._refused = refused
            words = {"code": trouble.code, "reason": trouble.reason}
            self._log.warning("forecast_model_refused", model=wanted.number, **words)

    async def _settle(self, answer: ForecastAnswer, fence: Revision) -> None:
        """Records what a probation came to."""
        standing, now = answer.standing, self._in_force
        if standing in (None, Standing.ON_PROBATION):
            return
        back = standing is Standing.BACK
        number = now.active.before if back else now.active.number
        words = f"model {now.active.number} did worse than the one before" if back else "it did no worse for a day"
        settled = ForecastActive(number=number, before=number, why=words)
        self._in_force = InForce(settled, (now.before or SHIPPED_MODEL) if back else now.now)
        self._log.warning("forecast_model_settled", model=number, standing=str(standing), why=words)
        await self._registry.settle(settled, fence)

    async def _tell(self, trouble: Exception | None, fence: Revision) -> None:
        """Into the events of all nodes, once for each change."""
        code, reason = "", ""
        if trouble is not None:
            code = _code_of(trouble)
            reason = str(trouble)[:REASON_MAX]
        elif self._refused is not None:
            (number, _), code = self._refused
            reason = f"model {number} cannot be used; model {self._in_force.active.number} forecasts"
        state: Literal["working", "degraded"] = "working" if trouble is None else "degraded"
        said = (state, code, self._in_force.active.number, self._refused)
        if said == self._said:
            return
        now = ForecastState(
            state=state,
            code=code,
            reason=reason,
            model=self._in_force.active.number,
            since_unix_ms=self._clock.unix_ms(),
        )
        if trouble is not None:
            self._log.warning("forecasts_degraded", code=code, reason=reason)
        await self._registry.tell(now, fence)
        self._said = said


class Newest(NamedTuple):
    """The newest minute that is over and written, and when the next one will be."""

    minute: int
    next_in_s: float


def newest_minute(now_unix_ms: int) -> Newest:
    now_s = now_unix_ms / 1_000 - GRACE_S
    return Newest(int(now_s // MINUTE_S) - 1, MINUTE_S - now_s % MINUTE_S)


def spans_of(slice_name: str, minute: int, count: int = 1) -> tuple[Span, Span, Span]:
    """What a forecast at the end of that minute looks at: the last hour, and the same minutes a day and a week ago with
    the ten that followed. count: what the forecasts at the end of so many minutes up to that one look at."""
    first, more = minute - count + 1 - HISTORY + 1, count - 1
    return (
        Span(slice_name, first, HISTORY + more),
        Span(slice_name, first - DAY_MINUTES, ALIGNED + more),
        Span(slice_name, first - WEEK_DAYS * DAY_MINUTES, ALIGNED + more),
    )


def is_foreseeable(recent: Sequence[float]) -> bool:
    """Whether so much is known of a slice, and so lately, that the model can say something: Histories.foreseeable."""
    known = [math.isfinite(load) and load >= 0 for load in recent]
    return sum(known) >= KNOWN_MIN and any(known[-NEWEST_MAX:])


def _forecasts(answer: ForecastAnswer) -> dict[str, LoadForecast]:
    """Raises HistoryInvalid."""
    return {name: load_forecast(name, raw) for name, raw in answer.quantiles.items()}


def _code_of(trouble: Exception) -> str:
    if isinstance(trouble, ForecastRefused):
        return trouble.found
    return trouble.code if isinstance(trouble, RuntimeFault) else type(trouble).__name__


def _pair(active: ForecastActive) -> tuple[int, int]:
    return active.number, active.before
