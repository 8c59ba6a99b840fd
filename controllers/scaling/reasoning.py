"""The seat of the reasoning layer: when it is asked, what, and what it may answer. Who sits there is handed in from
above."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final, Literal, Protocol

import anyio
import msgspec
from anyio.abc import TaskGroup

from controllers.scaling.model import (
    Decision,
    Forecast,
    Layer,
    Opinion,
    SliceSeen,
    Surroundings,
    at_quantile,
)
from runtime.clock import Clock
from runtime.cluster.membership import Lines

ASK_S: Final = 60.0
"""Between two questions about one slice, and as long an answer holds."""
UNCERTAIN_S: Final = 300.0
"""The same where nothing is wrong yet: a forecast that is wide stays so for long, and each question costs."""
ASKED_AT_ONCE: Final = 2
BURNS_S: Final = 10.0  # between looks at which objectives burn
WIDE: Final = 2.0
WIDE_INSTANCES: Final = 2
"""A forecast is wide where its 95 % need so many times what its middle needs, and so many instances more."""

Occasion = Literal["conflict", "burn", "uncertain"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The lower layers' answers are in `otherwise.layers`; `otherwise` is what happens without an opinion. It is asked
    as the layers contradict each other, as the slice uses up its error budget and no playbook is there for it, or as
    the forecast is uncertain."""

    slice: str
    seen: SliceSeen
    around: Surroundings
    otherwise: Decision
    occasion: Occasion = "conflict"


class ReasoningLayer(Protocol):
    async def consider(self, question: Question) -> Opinion | None:
        """None is no opinion. It may take long or never answer: nobody waits for it, and an answer that comes late is
        dropped. Whatever it says stays inside the guard rails, and a number of its own waits for an approval."""
        ...


class Opined(Protocol):
    """What is remembered of one slice."""

    opinion: Opinion | None
    asked_at_s: float


def is_conflict(decision: Decision, current: int) -> bool:
    """Whether the lower layers want opposite things: one more instances, another fewer."""
    ways = {(each.wanted > current) - (each.wanted < current) for each in decision.layers}
    return {1, -1} <= ways and decision.layer is not Layer.GUARD


def is_wide(forecast: Forecast | None, rate_per_instance: float) -> bool:
    if forecast is None or rate_per_instance <= 0:
        return False
    middle, high = (math.ceil(at_quantile(forecast.soon, each) / rate_per_instance) for each in (0.5, 0.95))
    return high - middle >= WIDE_INSTANCES and high >= WIDE * middle


def occasion_of(decision: Decision, seen: SliceSeen, *, burns: bool) -> Occasion | None:
    """None where a person's word or a guard rail decides anyway, or nothing is in question."""
    if decision.layer is Layer.GUARD or not decision.layers:
        return None
    if is_conflict(decision, seen.current):
        return "conflict"
    if burns:
        return "burn"
    return "uncertain" if is_wide(seen.forecast, seen.rate_per_instance) else None


class Asker:
    """Asks about a slice where there is an occasion. Nobody waits for the answer, and whatever goes wrong is no
    opinion: then the safer of the lower layers decides."""

    def __init__(
        self, layer: ReasoningLayer, *, burning: Callable[[], Collection[str]], clock: Clock, log: Lines
    ) -> None:
        """burning: slices whose error budget burns while no playbook is there for it."""
        self._layer = layer
        self._burning = burning
        self._clock = clock
        self._log = log
        self._asked = 0
        self._burns: Collection[str] = ()
        self._burns_at_s = -BURNS_S

    def offer(self, question: Question, memory: Opined, explained: Callable[[], Decision], tasks: TaskGroup) -> None:
        """question: with what was decided, to which `explained` adds why."""
        now_s = self._clock.monotonic_s()
        since_s = now_s - memory.asked_at_s
        if since_s < ASK_S:
            return
        memory.opinion = None
        occasion = occasion_of(question.otherwise, question.seen, burns=question.slice in self._burning_now(now_s))
        if occasion is None or self._asked >= ASKED_AT_ONCE or (occasion == "uncertain" and since_s < UNCERTAIN_S):
            return
        memory.asked_at_s = now_s
        asked = msgspec.structs.replace(question, otherwise=explained(), occasion=occasion)
        self._asked += 1
        tasks.start_soon(self._consider, asked, memory)

    def _burning_now(self, now_s: float) -> Collection[str]:
        if now_s - self._burns_at_s >= BURNS_S:
            self._burns_at_s, self._burns = now_s, self._burning()
        return self._burns

    async def _consider(self, question: Question, memory: Opined) -> None:
        try:
            with anyio.move_on_after(ASK_S):
                memory.opinion = await self._layer.consider(question)
        except Exception as error:  # whatever the third layer does, the lower two go on
            self._log.warning("reasoning_failed", slice=question.slice, reason=str(error))
        finally:
            self._asked -= 1
