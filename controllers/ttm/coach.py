"""Training, live: when loads have changed, a challenger is trained in a process of its own, judged, kept and chosen.

Off control's loop in all but waiting: what takes time happens in the trainer.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import anyio
import msgspec

from controllers.ttm.forecast_job import ModelBytes
from controllers.ttm.live import DAY_MINUTES, REASON_MAX, Minutes, Span
from controllers.ttm.records import SHIPPED, ForecastModel, TrainingTrouble
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.trail import MINUTE_S
from controllers.ttm.training_job import TrainingJob, TrainingResult
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault

DAYS: Final = 14  # that are learnt from: as many as the history keeps
SLICES_MAX: Final = 50  # the busiest; two weeks of them are 4 MB, and 20,000 windows are drawn whatever there is
EVERY_S: Final = 6 * 3_600.0  # between two trainings: drift that training cannot mend must not train for ever
CROWNED: Final = "crowned"

Train = Callable[[TrainingJob], Awaitable[TrainingResult]]
"""Raises RuntimeFault, OSError when the process failed."""
Choose = Callable[[int, int, str], Awaitable[None]]
"""Puts a model in force, through the gate, on probation beside another; the words say why."""


class Coach:
    """`run` is a leader service; `hear` may be called at any time."""

    def __init__(
        self, *, minutes: Minutes, registry: ModelRegistry, train: Train, choose: Choose, clock: Clock, log: Lines
    ) -> None:
        self._minutes = minutes
        self._registry = registry
        self._train = train
        self._choose = choose
        self._clock = clock
        self._log = log
        self._heard = anyio.Event()
        self._cause = ""
        self._tried_at_s = -math.inf

    def hear(self, drifted: Mapping[str, str]) -> None:
        """Of slices whose load has changed, and how. While a training runs or one was not long ago it is passed over:
        drift that lasts is heard of again. An earlier leader's training counts, whatever it came to."""
        if self._clock.monotonic_s() - self._tried_at_s < EVERY_S or self._registry.active().probation:
            return
        if min(self._ages_ms(), default=math.inf) < EVERY_S * 1_000:
            return
        name, cause = next(iter(sorted(drifted.items())))
        more = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
        self._cause = f"{cause} of {name}{more}"
        self._heard.set()

    def _ages_ms(self) -> list[int]:
        """Of what trainings came to, as the store tells. Clocks of two leaders may differ either way."""
        tried = [each.made_unix_ms for each in self._registry.models()]
        if (trouble := self._registry.training_trouble()) is not None:
            tried.append(trouble.tried_unix_ms)
        return [abs(self._clock.unix_ms() - each) for each in tried]

    async def run(self, fence: Revision) -> None:
        while True:
            await self._heard.wait()
            self._heard = anyio.Event()
            self._tried_at_s = self._clock.monotonic_s()
            await self.train(self._cause, fence)

    async def train(self, cause: str, fence: Revision) -> None:
        """One challenger, from now on back. What fails is told and leaves the champion where it is."""
        champion = self._registry.active().number
        self._log.info("forecast_training_began", cause=cause, champion=champion)
        try:
            trouble = await self._trained(cause, champion, fence)
        except (RuntimeFault, OSError) as error:
            code = error.code if isinstance(error, RuntimeFault) else type(error).__name__
            trouble = self._trouble("failed", cause, code, str(error))
        if trouble is not None:
            event = "forecast_training_refused" if trouble.state == "refused" else "forecast_training_failed"
            self._log.warning(event, cause=cause, code=trouble.code, reason=trouble.reason)
        await self._registry.tell_training(trouble, fence)

    async def _trained(self, cause: str, champion: int, fence: Revision) -> TrainingTrouble | None:
        """Why there is no challenger, where the trainer refused to make one. Raises RuntimeFault, OSError."""
        last = self._clock.unix_ms() // 1_000 // MINUTE_S - 1
        asked = await self._asked(last, await self._registry.bytes_of(champion))
        result = await self._train(asked.job)
        if result.refused:
            return self._trouble("refused", cause, result.refused, result.reason)
        parent = self._registry.model(champion)
        graph = parent.graph if parent is not None else SHIPPED
        record = msgspec.structs.replace(_record(asked, result, champion, cause, self._clock), graph=graph)
        model = await self._registry.keep(record, result.head, fence)
        self._log.info("forecast_challenger_judged", **msgspec.to_builtins(model))
        if model.ruling == CROWNED:
            why = f"{cause}; on data held back its loss is {model.recent:.3f} of model {champion}'s"
            await self._choose(model.number, champion, why)
        return None

    def _trouble(self, state: Literal["refused", "failed"], cause: str, code: str, reason: str) -> TrainingTrouble:
        now_ms = self._clock.unix_ms()
        return TrainingTrouble(state=state, code=code, reason=reason[:REASON_MAX], cause=cause, tried_unix_ms=now_ms)

    async def _asked(self, last: int, champion: ModelBytes) -> _Asked:
        """Of the busiest slices, from the first to the last minute that any of them is known of."""
        count = DAYS * DAY_MINUTES
        names = list(self._minutes.slices())
        loads = list(await self._minutes.loads([Span(name, last - count + 1, count) for name in names]))
        busiest = sorted(range(len(names)), key=lambda at: -_sum(loads[at]))[:SLICES_MAX]
        begins = min((_first_known(loads[at]) for at in busiest), default=count)
        ends = count - min((_first_known(loads[at][::-1]) for at in busiest), default=count)
        packed = b"".join(array("f", loads[at][begins:ends]).tobytes() for at in busiest)
        job = TrainingJob(
            slices=tuple(names[at] for at in busiest),
            minutes=max(0, ends - begins),
            loads=packed,
            head=champion.head,
            file=champion.file,
        )
        return _Asked(job, last - count + ends)


class _Asked(NamedTuple):
    """A job, and the last minute of its loads."""

    job: TrainingJob
    last_minute: int


def _record(asked: _Asked, result: TrainingResult, parent: int, cause: str, clock: Clock) -> ForecastModel:
    """Its number and its content's hash are given when it is kept."""
    job, last = asked
    return ForecastModel(
        number=1,
        sha256="",
        base=result.base,
        parent=parent,
        made_unix_ms=clock.unix_ms(),
        cause=cause,
        first_minute=last - job.minutes + 1,
        last_minute=last,
        slices=len(job.slices),
        samples=result.samples,
        ruling=result.ruling,
        recent=result.recent,
        longer=result.longer,
        older=result.older,
    )


def _sum(load: Sequence[float]) -> float:
    return sum(value for value in load if value > 0)  # NaN is not


def _first_known(load: Sequence[float]) -> int:
    return next((at for at, value in enumerate(load) if value >= 0), len(load))
