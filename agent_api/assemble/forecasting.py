"""Forecasts and the training that keeps them right, wired for the control process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio
import msgspec

from agent_api.assemble.job_process import JobFailed, carried_out, command_of
from controllers.context.history import MinuteHistory
from controllers.context.history_file import Span as HistorySpan
from controllers.ttm.coach import Coach
from controllers.ttm.errors import ForecasterFailed, TrainerFailed
from controllers.ttm.forecast_job import CheckAnswer, CheckJob, ForecastAnswer, ForecastJob, Trouble
from controllers.ttm.live import Forecasts, LiveForecasts, NoForecasts, Span
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
CHECK_S_MAX: Final = 30.0  # eighteen questions to a model that answers a hundred series in 2 ms
TRAINER: Final = "agent_api.assemble.trainer"
FORECASTER_MODULE: Final = "agent_api.assemble.forecaster"


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
            minutes=minutes, registry=registry, ask=forecast_in_process, drifted=coach.hear, clock=clock, log=log
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
    """On one thread. Raises TrainerFailed."""
    try:
        with anyio.fail_after(TRAINING_S_MAX):
            return decode_result(await carried_out(argv or command_of(TRAINER), encode(job)))
    except (JobFailed, TimeoutError, msgspec.DecodeError) as error:
        raise TrainerFailed(f"the trainer gave nothing: {error!r}") from error


async def forecast_in_process(job: ForecastJob, argv: Sequence[str] | None = None) -> ForecastAnswer:
    """On one thread; what it takes of memory is given back with the answer. Raises ForecasterFailed."""
    return await _answered(job, ForecastAnswer, argv or command_of(FORECASTER_MODULE))


async def check_in_process(file: bytes, argv: Sequence[str] | None = None) -> Trouble | None:
    """What is wrong with a model that somebody brings. Raises ForecasterFailed."""
    try:
        with anyio.fail_after(CHECK_S_MAX):
            answer = await _answered(CheckJob(file=file), CheckAnswer, argv or command_of(FORECASTER_MODULE))
    except TimeoutError:
        return Trouble(ForecasterFailed.code, f"it did not answer within {CHECK_S_MAX:g} s")
    return answer.trouble


AnswerT = TypeVar("AnswerT", ForecastAnswer, CheckAnswer)


async def _answered(job: ForecastJob | CheckJob, kind: type[AnswerT], argv: Sequence[str]) -> AnswerT:
    try:
        return msgspec.msgpack.decode(await carried_out(argv, msgspec.msgpack.encode(job)), type=kind)
    except (JobFailed, msgspec.DecodeError) as error:
        raise ForecasterFailed(f"the forecaster gave nothing: {error}") from error
