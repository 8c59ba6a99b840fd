"""Forecasts and the training that keeps them right, wired for the control process."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec

from controllers.context.history import MinuteHistory
from controllers.context.history_file import Span as HistorySpan
from controllers.ttm.coach import Coach
from controllers.ttm.errors import TrainerFailed
from controllers.ttm.live import Forecasts, LiveForecasts, NoForecasts, Span, start_engine
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.training_job import TrainingJob, TrainingResult, decode_result, encode
from runtime.clock import Clock
from runtime.cluster.leader_services import LeaderService
from runtime.cluster.membership import Lines
from runtime.consensus.store import Store
from runtime.content.port import ContentStore
from runtime.deployment.view import StateView
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Dispatcher, Submission

FORECASTER: Final = Actor(kind=ActorKind.CONTROLLER, id="controller:forecasts", role=Role.OPERATOR)
TRAINING_S_MAX: Final = 900.0  # a fit takes half a minute on a busy core
ERRORS_CHARS_MAX: Final = 500
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class HistoryMinutes:
    """Implements Minutes: of what is deployed, from this node's history."""

    def __init__(self, history: MinuteHistory, view: StateView) -> None:
        self._history = history
        self._view = view

    def slices(self) -> list[str]:
        return sorted({str(each.settings.slice) for each in self._view.targets()})

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        return await self._history.load([HistorySpan(*span) for span in spans])


class ForecastParts:
    """`forecasts` answers with something while this node leads; `services` run then. A node without a history, which
    never leads, has none."""

    def __init__(
        self,
        *,
        history: MinuteHistory | None,
        view: StateView,
        store: Store,
        content: ContentStore,
        dispatcher: Dispatcher,
        clock: Clock,
        log: Lines,
    ) -> None:
        self.forecasts: Forecasts = NoForecasts()
        self.services: tuple[LeaderService, ...] = ()
        if history is None:
            return
        minutes, registry = HistoryMinutes(history, view), ModelRegistry(store=store, state=view.cache, content=content)
        choose = chooser(dispatcher, log)
        coach = Coach(minutes=minutes, registry=registry, train=train_in_process, choose=choose, clock=clock, log=log)
        live = LiveForecasts(
            minutes=minutes, registry=registry, start=start_engine, drifted=coach.hear, clock=clock, log=log
        )
        self.forecasts, self.services = live, (live.run, coach.run)


def chooser(dispatcher: Dispatcher, log: Lines) -> Callable[[int, int, str], Awaitable[None]]:
    """Puts a model in force through the gate, as anybody else would."""

    async def choose(number: int, beside: int, why: str) -> None:
        submission = Submission(
            operation="ttm.activate", request={"number": number, "beside": beside}, actor=FORECASTER, reason=why
        )
        outcome = await dispatcher.submit(submission)
        if not isinstance(outcome, Applied):
            log.warning("forecast_model_not_chosen", model=number, outcome=msgspec.json.encode(outcome).decode())

    return choose


async def train_in_process(job: TrainingJob, argv: Sequence[str] | None = None) -> TrainingResult:
    """In a process of its own, on one thread, which ends with this one. Raises TrainerFailed."""
    command = argv or (sys.executable, "-P", "-m", "agent_api.assemble.trainer")
    try:
        with anyio.fail_after(TRAINING_S_MAX):
            done = await anyio.run_process(command, input=encode(job), check=False, env={**os.environ, **ONE_THREAD})
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()[-ERRORS_CHARS_MAX:]
            raise TrainerFailed(f"the trainer ended with status {done.returncode}: {words}")
        return decode_result(done.stdout)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        raise TrainerFailed(f"the trainer gave nothing: {error!r}") from error
