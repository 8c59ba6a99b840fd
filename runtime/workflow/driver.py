"""One run, carried out: decide, stage, write, act, and again until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Final

import anyio
import msgspec

from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Put
from runtime.errors import InvariantBroken, RuntimeFault
from runtime.names import Sha256
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import encode
from runtime.workflow import effects, outcomes
from runtime.workflow.case import Case
from runtime.workflow.decide import (
    STILL,
    Abandon,
    Attempt,
    Begin,
    Compensate,
    End,
    Move,
    Obey,
    Outcome,
    Park,
    Probe,
    Recall,
    Rest,
    TakeLocks,
    Undo,
    deadline_of,
    decide,
)
from runtime.workflow.errors import DefinitionNotFound, FlowInvalid, WorkflowFault
from runtime.workflow.flow import Action, Ask, Did, Directive, Flow, RunView, StepError, Waits
from runtime.workflow.limits import REST_MS_MIN, RESULT_BYTES_MAX, RESULT_CONTENT_BYTES_MAX, RUN_RESULT_BYTES_MAX
from runtime.workflow.lock_desk import LockDesk
from runtime.workflow.obeying import KERNEL, follows, obey, stops_effect
from runtime.workflow.outcomes import Failure
from runtime.workflow.pen import Pen
from runtime.workflow.ports import WorkflowPorts
from runtime.workflow.records import RunOrder, RunState, SignalRecord, StepRecord

FETCH_ATTEMPTS: Final = 6
FETCH_S: Final = 1.0  # doubled with each: half a minute in all, then a person is asked
LOST: Final = "lost"  # instead of a hash: the result was too long, or could not be kept
BROKEN_MAX: Final = 3
CIRCLES_MAX: Final = 1_000  # the longest way back without a wait has some 200 moves


class _Parked(WorkflowFault):
    """The run cannot go on without a person; the sentence says why."""

    code = "run_parked"


class _Asking:
    """A flow that cannot be had: the run is parked, and every resumption looks for it again."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def next(self, run: RunView) -> Directive:
        return Ask(detail=self._reason)


class Driver:
    """Of one run under one leadership. `family` gives its open ancestors."""

    def __init__(
        self,
        case: Case,
        *,
        ports: WorkflowPorts,
        pen: Pen,
        locks: LockDesk,
        limiter: anyio.CapacityLimiter,
        family: Callable[[Case], Set[str]],
    ) -> None:
        self.case = case
        self._ports = ports
        self._pen = pen
        self._locks = locks
        self._limiter = limiter
        self._family = family
        self._flow: Flow | None = None
        self._bell = anyio.Event()
        self._effect: anyio.CancelScope | None = None
        self._circles = 0
        """Moves since it last waited for anything: a mistake must not keep the leader from all else."""

    # -- what the engine tells -----------------------------------------------------------------------------------------

    def ring(self) -> None:
        """Something was told: an order, a signal, locks that are free."""
        self._bell.set()
        if self._effect is not None and stops_effect(self.case):
            self._effect.cancel()

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Until the run has ended. Raises StoreFault and Deposed: then another reads it all anew and goes on."""
        await self._long_results()
        broken = 0
        while not self.case.run.ended:
            self._bell = anyio.Event()
            self._circles += 1
            try:
                if self._circles > CIRCLES_MAX:
                    raise InvariantBroken("it decides in circles")
                await self._carry_out(await self._decided())
            except _Parked as error:
                outcomes.park(self.case, str(error))
            except StoreFault:
                raise
            except Exception as error:  # a mistake of the engine's own: that run is left to a person, not lost
                broken += 1
                if broken > BROKEN_MAX:
                    raise
                self._ports.log.warning("run_broken", run=self.case.run.id, reason=f"{type(error).__name__}: {error}")
                self._circles = 0
                outcomes.set_aside(self.case, f"the engine failed: {type(error).__name__}: {error}")
        await self._last_words()

    async def _last_words(self) -> None:
        """The run's end, its locks and what its parent waits for, in one transaction."""
        case, run = self.case, self.case.run
        if run.parent in self._family(case):
            name = f"run/{run.id}"
            data: dict[str, Json] = {
                "state": str(run.state),
                "result": run.result,
                "error": msgspec.to_builtins(run.error),
            }
            told = SignalRecord(name=name, at_unix_ms=self._now(), by=KERNEL, data=data)
            case.also(Put(key=keys.run_signal(run.parent, name), value=encode(told)))
        await self._locks.free(case)
        self._ports.log.info("run_ended", run=run.id, state=str(run.state))

    async def _decided(self) -> Move:
        if (
            self._flow is None
            and self.case.order is None
            and self.case.run.state in (RunState.RUNNING, RunState.WAITING)
        ):
            self._flow = await self._loaded()
        flow = self._flow or _Asking("its flow was not read")
        try:
            return decide(self.case, flow, self._now())
        except Exception as error:  # a flow may be anybody's code: one that is broken stops its own run alone
            self._ports.log.warning("flow_failed", run=self.case.run.id, reason=f"{type(error).__name__}: {error}")
            return Park(f"its flow failed: {type(error).__name__}: {error}")

    async def _carry_out(self, move: Move) -> None:
        case, now = self.case, self._now()
        match move:
            case Obey():
                self._obey(now)
            case TakeLocks():
                await self._take_locks()
            case Begin(do=do):
                await self._attempt(outcomes.begin(case, do, now))
            case Attempt(step=step):
                await self._attempt(outcomes.attempt(case, step))
            case Probe(step=step):
                await self._probe(step)
            case Outcome(step=step, error=error):
                outcomes.fail_step(case, step, error, now)
            case Rest(until_unix_ms=until, signal=signal, waits=waits):
                await self._rest(until, signal, waits=waits)
            case Park(reason=reason):
                outcomes.park(case, reason)
            case Compensate(error=error, ends_as=ends_as):
                outcomes.compensate(case, error, ends_as, now)
            case End(state=state, result=result, error=error):
                self._end(state, result, error)
            case Undo() | Abandon() | Recall():
                await self._go_back(move)

    async def _go_back(self, move: Undo | Abandon | Recall) -> None:
        match move:
            case Undo(step=step):
                await self._undo(outcomes.begin_undo(self.case, step))
            case Abandon(step=step):
                await self._abandon(step)
            case Recall(children=children):
                self._recall(children)

    def _now(self) -> int:
        return self._ports.clock.unix_ms()

    async def _flush(self) -> None:
        self._circles = 0
        if self.case.is_staged:
            await self._pen.write(self.case)

    # -- moves ---------------------------------------------------------------------------------------------------------

    def _obey(self, now: int) -> None:
        order = self.case.order
        obey(self.case, now)
        self._ports.log.info("run_ordered", run=self.case.run.id, order=order.order if order is not None else "")
        if order is not None and order.order == "resume" and isinstance(self._flow, _Asking):
            self._flow = None
        told = follows(self.case, order) if order is not None else None
        if told is not None:
            self._tell(self.case.children, told)

    async def _take_locks(self) -> None:
        case = self.case
        if not case.run.locks:
            outcomes.set_off(case, self._now(), {})
            return
        await self._locks.take(case, self._family(case))
        if case.run.state is RunState.BLOCKED:
            await self._bell.wait()

    async def _attempt(self, step: StepRecord) -> None:
        case, action = self.case, self._action(step)
        async with self._limiter:
            await self._flush()
            if stops_effect(case):
                return
            outcome = None
            with anyio.CancelScope() as self._effect:
                outcome = await effects.attempted(action, case.context(step, self._now()), self._left_s(step))
            self._effect = None
        if outcome is not None:
            await self._record(step, outcome)

    async def _record(self, step: StepRecord, outcome: Did | Waits | Failure) -> None:
        """Where the run's time ended before the attempt's own, nothing is known of it."""
        case, now = self.case, self._now()
        if isinstance(outcome, Failure):
            late = outcome.error.code == "step_timeout" and deadline_of(case) and now >= deadline_of(case)
            if not late:
                outcomes.failed(case, step, outcome, now)
            return
        sha256 = await self._kept(outcome) if isinstance(outcome, Did) else ""
        outcomes.did(case, step, outcome, self._now(), sha256=sha256)

    def _left_s(self, step: StepRecord) -> float:
        ends = deadline_of(self.case)
        return min(step.timeout_s, max(0.0, (ends - self._now()) / 1_000)) if ends else step.timeout_s

    async def _kept(self, outcome: Did) -> str:
        """The hash of a result that is too long for the store and so is content now."""
        raw = msgspec.json.encode(outcome.result)
        if len(raw) <= RESULT_BYTES_MAX:
            return ""
        try:
            return (
                await self._ports.results.keep(self.case.run.id, raw) if len(raw) <= RESULT_CONTENT_BYTES_MAX else LOST
            )
        except RuntimeFault as error:  # its effect has been: better done without a result than done again
            self._ports.log.warning("result_not_kept", run=self.case.run.id, reason=str(error))
            return LOST

    async def _probe(self, step: StepRecord) -> None:
        case, action = self.case, self._action(step)
        await self._flush()
        found = await effects.probed(action, case.context(step, self._now()))
        stage = outcomes.probed_backwards if case.undoing else outcomes.probed
        stage(case, step, found, self._now())

    async def _undo(self, step: StepRecord) -> None:
        case, action = self.case, self._action(step)
        await self._flush()
        async with self._limiter:
            error = await effects.undone(action, case.context(step, self._now()), case.result_of(step), step.timeout_s)
        if error is None:
            outcomes.undone(case, step, self._now())
        else:
            outcomes.undo_failed(case, step, error, self._now())

    async def _abandon(self, step: StepRecord) -> None:
        await self._flush()
        error = await effects.abandoned(self._action(step), self.case.context(step, self._now()), step.timeout_s)
        if error is not None:
            self._ports.log.warning("step_not_abandoned", run=self.case.run.id, step=step.step, reason=error.detail)
        outcomes.abandoned(self.case, step, self._now())

    def _recall(self, children: tuple[str, ...]) -> None:
        told = f"run {self.case.run.id}, which began it, goes back"
        self._tell(children, RunOrder(order="cancel", by=KERNEL, reason=told))
        self.case.recalled.update(children)

    def _tell(self, children: Iterable[str], order: RunOrder) -> None:
        """With what is staged."""
        self.case.also(*(Put(key=keys.run_order(each), value=encode(order)) for each in sorted(children)))

    def _end(self, state: RunState, result: dict[str, Json], error: StepError | None) -> None:
        size = len(msgspec.json.encode(result))
        told: dict[str, Json] = result if size <= RUN_RESULT_BYTES_MAX else {"…": f"{size} bytes of JSON"}
        outcomes.end(self.case, state, self._now(), result=told, error=error)

    # -- rest ----------------------------------------------------------------------------------------------------------

    async def _rest(self, until: int, signal: str, *, waits: bool) -> None:
        if waits:
            outcomes.wait(self.case, until, signal)
        await self._flush()
        limit = deadline_of(self.case) if self.case.run.state not in STILL else 0
        ends = [each for each in (until, limit) if each]
        left_ms = max(REST_MS_MIN, min(ends) - self._now()) if ends else None
        with anyio.move_on_after(left_ms / 1_000 if left_ms is not None else None):
            await self._told(signal)

    async def _told(self, signal: str) -> None:
        kind, _, rest = signal.partition("/")
        source = self._ports.sources.get(kind)
        if source is None or signal in self.case.signals:
            await self._bell.wait()
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, signal, rest)
            await self._bell.wait()
            tasks.cancel_scope.cancel()

    async def _listen(self, signal: str, rest: str) -> None:
        data: dict[str, Json] | None = None
        while data is None:
            try:
                data = await self._ports.sources[signal.partition("/")[0]].wait(rest)
            except Exception as error:  # whatever it is, what the run waits for may still come
                self._ports.log.warning(
                    "signal_source_failed", signal=signal, reason=f"{type(error).__name__}: {error}"
                )
                await anyio.sleep(FETCH_S)
        self.case.set_signal(SignalRecord(name=signal, at_unix_ms=self._now(), by=KERNEL, data=data))
        self._bell.set()

    # -- what the run is pinned to -------------------------------------------------------------------------------------

    async def _loaded(self) -> Flow:
        run = self.case.run
        kind = self._ports.kinds.get(run.kind)
        if kind is None:
            return _Asking(f"this release knows no runs of kind {run.kind}")
        try:
            return kind.load(await self._fetched(run.definition))
        except DefinitionNotFound as error:
            return _Asking(str(error))
        except FlowInvalid as error:
            return _Asking(f"its definition cannot be read: {error}")

    async def _fetched(self, sha256: Sha256) -> bytes:
        """Raises DefinitionNotFound, sooner where an order came meanwhile."""
        for number in range(FETCH_ATTEMPTS):
            try:
                return await self._ports.definitions.read(sha256)
            except DefinitionNotFound:
                if number == FETCH_ATTEMPTS - 1 or self.case.order is not None:
                    raise
            with anyio.move_on_after(FETCH_S * 2**number):
                await self._bell.wait()
        raise AssertionError("the last attempt returns or raises")

    async def _long_results(self) -> None:
        for step in list(self.case.steps.values()):
            if step.result_sha256 not in ("", LOST):
                try:
                    raw = await self._ports.results.read(Sha256(step.result_sha256))
                except RuntimeFault as error:
                    self._ports.log.warning("result_not_found", run=self.case.run.id, reason=str(error))
                    continue
                self.case.long_results[step.number] = msgspec.json.decode(raw, type=dict[str, Json])

    def _action(self, step: StepRecord) -> Action:
        kind = self._ports.kinds.get(self.case.run.kind)
        try:
            if kind is not None:
                return kind.action(step.action)
        except KeyError:
            pass
        raise _Parked(f"this release knows no action {step.action} of runs of kind {self.case.run.kind}")
