"""Forecasts, live: once a minute, for all slices in one batch, on the leader, off control's loop.

Whatever goes wrong here costs forecasts and nothing else: layer 1 goes on alone, the reason stands in an event, and the
next minute tries again. numpy and onnxruntime are imported by the first minute of a leadership, in a thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeVar

import anyio
from anyio import to_thread

from controllers.ttm.records import SHIPPED, ForecastActive, ForecastState, Standing
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, WEEK_DAYS
from controllers.ttm.trail import Band, SaidMinute, Trail
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault

if TYPE_CHECKING:  # these bring numpy along, which control has no use for until it leads
    from controllers.ttm.cycle import Tick
    from controllers.ttm.engine import Engine
    from controllers.ttm.history import LoadForecast

_T = TypeVar("_T")

MINUTE_S: Final = 60
GRACE_S: Final = 3.0  # of the minute's last second figures come within one, and are written within another
TICK_S: Final = 30.0  # one takes milliseconds; a disk that hangs must not keep a new leader's model from being heard of
STALE_S: Final = 150.0  # a forecast speaks of ten minutes, but after two that nobody made anew it is not trusted
SLICES_MAX: Final = 2_000
REASON_MAX: Final = 500
DAY_MINUTES: Final = 1_440
SPANS: Final = 3  # that a forecast looks at
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


class LiveForecasts:
    """Implements Forecasts; `run` is a leader service."""

    def __init__(
        self,
        *,
        minutes: Minutes,
        registry: ModelRegistry,
        start: Callable[[], Engine],
        drifted: Callable[[Mapping[str, str]], None],
        clock: Clock,
        log: Lines,
    ) -> None:
        """start: opens the shipped model, in a thread. drifted: hears by slice of what has changed."""
        self._minutes = minutes
        self._registry = registry
        self._start = start
        self._drifted = drifted
        self._clock = clock
        self._log = log
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._told = NOTHING
        self._trail = Trail()
        self._engine: Engine | None = None
        self._using = ForecastActive()
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
            self._told, self._engine, self._said = NOTHING, None, ()
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
        tick, trouble = None, None
        try:
            with anyio.fail_after(TICK_S):
                tick = await self._forecast(minute, slices)
        except Exception as error:  # the outermost frame of layer 2: layer 1 goes on whatever is wrong here
            trouble = error
        self._told = Told(self._clock.monotonic_s(), tick.forecasts) if tick is not None else NOTHING
        try:
            await self._record(minute, tick, trouble, fence)
        except StoreFault as fault:
            self._log.warning("forecasts_not_recorded", code=fault.code, reason=str(fault))

    async def _record(self, minute: int, tick: Tick | None, trouble: Exception | None, fence: Revision) -> None:
        await self._tell(trouble, fence)
        if tick is None:
            return
        if tick.drifted:
            self._drifted(tick.drifted)
        await self._settle(tick, fence)
        if minute % KEEP_EVERY == 0 and self._engine is not None:
            await self._registry.keep_factors(self._engine.cycle.factors(), fence)

    async def _forecast(self, minute: int, slices: tuple[str, ...]) -> Tick:
        if self._engine is None:
            engine = await self._in_thread(self._start)
            engine.start_from(self._registry.factors())
            self._using, self._engine = ForecastActive(), engine
        engine = self._engine
        await self._follow(engine)
        loads = await self._minutes.loads([span for name in slices for span in spans_of(name, minute)])
        tick = await self._in_thread(functools.partial(engine.minute, minute, slices, loads))
        measured = {name: float(loads[SPANS * at][-1]) / MINUTE_S for at, name in enumerate(slices)}
        self._trail.note(minute, measured, {name: band_of(each, 1) for name, each in tick.forecasts.items()})
        return tick

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=self._one_at_a_time)

    async def _follow(self, engine: Engine) -> None:
        """Takes the model that was chosen. One that cannot be had leaves the one in use at work, says so once, and is
        tried again each minute."""
        wanted = self._registry.active()
        if _pair(wanted) == _pair(self._using):
            return
        try:
            before = await self._head(wanted.before) if wanted.probation else None
            now = await self._head(wanted.number)
            await self._in_thread(functools.partial(engine.use, now, before, probation=wanted.probation))
        except RuntimeFault as fault:
            if self._refused != (refused := (_pair(wanted), fault.code)):
                self._refused = refused
                self._log.warning("forecast_model_refused", model=wanted.number, code=fault.code, reason=str(fault))
            return
        self._using, self._refused = wanted, None
        self._log.info("forecast_model_taken", model=wanted.number, probation=wanted.probation)

    async def _head(self, number: int) -> bytes | None:
        """None is the shipped model's own."""
        return (await self._registry.head(number))[1] if number != SHIPPED else None

    async def _settle(self, tick: Tick, fence: Revision) -> None:
        """Records what a probation came to."""
        standing = tick.standing
        if standing in (None, Standing.ON_PROBATION):
            return
        back = standing is Standing.BACK
        number = self._using.before if back else self._using.number
        words = f"model {self._using.number} did worse than the one before" if back else "it did no worse for a day"
        self._using = ForecastActive(number=number, before=number, why=words)
        self._log.warning("forecast_model_settled", model=number, standing=str(standing), why=words)
        await self._registry.settle(self._using, fence)

    async def _tell(self, trouble: Exception | None, fence: Revision) -> None:
        """Into the events of all nodes, once for each change."""
        code, reason = "", ""
        if trouble is not None:
            code = trouble.code if isinstance(trouble, RuntimeFault) else type(trouble).__name__
            reason = str(trouble)[:REASON_MAX]
        elif self._refused is not None:
            (number, _), code = self._refused
            reason = f"model {number} cannot be used; model {self._using.number} forecasts"
        state: Literal["working", "degraded"] = "working" if trouble is None else "degraded"
        said = (state, code, self._using.number, self._refused)
        if said == self._said:
            return
        now = ForecastState(
            state=state, code=code, reason=reason, model=self._using.number, since_unix_ms=self._clock.unix_ms()
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


def spans_of(slice_name: str, minute: int) -> tuple[Span, Span, Span]:
    """What a forecast at the end of that minute looks at: the last hour, and the same minutes a day and a week ago with
    the ten that followed."""
    first = minute - HISTORY + 1
    return (
        Span(slice_name, first, HISTORY),
        Span(slice_name, first - DAY_MINUTES, ALIGNED),
        Span(slice_name, first - WEEK_DAYS * DAY_MINUTES, ALIGNED),
    )


def band_of(load: LoadForecast, minutes_ahead: int) -> Band:
    """Requests a second."""
    return Band(*(load.at(minutes_ahead, quantile) / MINUTE_S for quantile in (0.1, 0.5, 0.9)))


def start_engine() -> Engine:
    """With the model that comes with the package. Raises TtmFault."""
    from controllers.ttm.engine import Engine
    from controllers.ttm.forecaster import load_forecaster

    return Engine(load_forecaster())


def _pair(active: ForecastActive) -> tuple[int, int]:
    return active.number, active.before
