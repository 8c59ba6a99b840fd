"""One instance: its phase, its methods made ready, and how a call runs in it."""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, Literal, Protocol, cast

from runtime.hosting.errors import CallFailed, DependencyUnavailable, InstanceFailed
from runtime.hosting.http_plan import RoutePlan
from runtime.hosting.method_plan import Arguments, MethodPlan, ReplyTypeWrong
from runtime.hosting.ports import HostedInstance, InstanceSettings
from runtime.invocation.context import current
from runtime.invocation.errors import ConnectionLost, DeadlineExceeded, MessageTooLarge, NotStarted
from runtime.sdk.domain import DomainError
from runtime.sdk.reading import SliceReading
from runtime.state.values import Phase
from runtime.telemetry.recorder import MethodRecorder, Recorder

RETRY_AFTER_MS: Final = 50  # for a full instance: about ten calls of a busy method end in this time
TRACEBACK_CHARACTERS_MAX: Final = 4_000

Method = Callable[..., Awaitable[object]]
Outcome = Literal["ok", "error", "rejected"]


class HostLog(Protocol):
    """What hosting asks of a log."""

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...


hosted: ContextVar[str] = ContextVar("hosted_instance", default="")
"""The name of the instance whose code runs, so that the log can say who prints."""


class ServedMethod:
    """A method of one instance, ready to be called."""

    __slots__ = ("instance", "method", "plan", "recorder", "routes")

    def __init__(self, instance: Instance, method: Method, plan: MethodPlan, recorder: MethodRecorder) -> None:
        self.instance = instance
        self.method = method
        self.plan = plan
        self.recorder = recorder
        self.routes = tuple(RoutePlan(plan, number) for number in range(len(plan.reading.contract.routes)))


class Instance:
    """A slice's object with its limits. Calls are admitted only while it is ACTIVE."""

    def __init__(
        self, reading: SliceReading, settings: InstanceSettings, code: str, sha256: str, *, log: HostLog
    ) -> None:
        self.reading = reading
        self.settings = settings
        self.name = f"{settings.slice}/{settings.number}"  # as in logs: orders/1
        self.code = code
        self.sha256 = sha256
        self.phase = Phase.LOADING
        self.reason = ""
        self.served: dict[str, ServedMethod] = {}
        self.in_progress = 0
        self.limit = reading.contract.concurrency_max
        self._object: object | None = None
        self._idle: asyncio.Future[None] | None = None
        self.log = log

    def state(self) -> HostedInstance:
        return HostedInstance(
            slice=self.settings.slice,
            number=self.settings.number,
            version=self.settings.version,
            phase=self.phase,
            reason=self.reason,
            config=self.settings.config,
        )

    def construct(self, injected: dict[str, object], recorder: Recorder) -> None:
        """Runs the constructor and makes the methods ready: LOADED. Raises InstanceFailed."""
        token = hosted.set(self.name)
        try:
            self._object = self.reading.cls(**injected)
        except BaseException as error:  # the slice's own code: whatever it raises ends this instance alone
            raise self.failed(f"its constructor raised {describe(error)}") from error
        finally:
            hosted.reset(token)
        self.serve(self._object, recorder)
        self.phase, self.reason = Phase.LOADED, ""

    def serve(self, served: object, recorder: Recorder) -> None:
        """Makes the methods of `served` ready. Raises TypeError if it lacks one."""
        contract = self.reading.contract
        for name, reading in self.reading.methods.items():
            method = cast("Method | None", getattr(served, name, None))  # `reading` saw that it is async
            if method is None:
                raise TypeError(f"{type(served).__qualname__} has no method {name}")
            measured = recorder.method(contract.name, contract.version, name)
            self.served[name] = ServedMethod(self, method, MethodPlan(reading), measured)

    def has_room(self) -> bool:
        return self.phase is Phase.ACTIVE and self.in_progress < self.limit

    def admit(self) -> None:
        """Counts a call in. Raises NotStarted: nothing ran, so it is safe to try elsewhere."""
        if self.phase is not Phase.ACTIVE:
            raise NotStarted(f"{self.name} is {self.phase}", retry_after_ms=RETRY_AFTER_MS)
        if self.in_progress >= self.limit:
            raise NotStarted(f"{self.name} is full: {self.limit} calls", retry_after_ms=RETRY_AFTER_MS)
        self.in_progress += 1

    def release(self) -> None:
        """Counts a call out."""
        self.in_progress -= 1
        if self.in_progress == 0 and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def drained(self, *, seconds: float) -> bool:
        """Waits for the calls in progress. False when some still ran after `seconds`."""
        if self.in_progress == 0:
            return True
        self._idle = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._idle,), timeout=seconds)
        self._idle = None
        return self.in_progress == 0

    async def run_start(self) -> None:
        """Outside of the call that asked for it: what begins here outlives that call, and its deadline."""
        current.set(None)
        await self._run_life("start")

    async def run_stop(self) -> None:
        await self._run_life("stop")

    async def _run_life(self, name: str) -> None:
        method = cast("Method | None", getattr(self._object, name, None))  # `reading` saw that it is async
        if method is None:
            return
        hosted.set(self.name)  # in a task of its own, so nothing needs to be reset
        try:
            await method()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # as in the constructor
            raise self.failed(f"its {name}() raised {describe(error)}") from error

    def failed(self, reason: str) -> InstanceFailed:
        """Turns FAILED and gives back the error to raise."""
        self.phase, self.reason = Phase.FAILED, f"{self.name}: {reason}"
        return InstanceFailed(self.reason)

    def internal(self, method: str, error: BaseException) -> CallFailed:
        """Logs what went wrong under a correlation id, and gives back what the caller may know."""
        correlation_id = secrets.token_hex(8)
        self.log.error(
            "call_failed",
            correlation_id=correlation_id,
            instance=self.name,
            method=method,
            error=describe(error),
            traceback="" if isinstance(error, ReplyTypeWrong) else trace_text(error),
        )
        return CallFailed(correlation_id)

    def unavailable(self, method: str, error: Exception) -> DependencyUnavailable:
        """As `internal`, for what is no fault of the method."""
        correlation_id = secrets.token_hex(8)
        self.log.warning(
            "dependency_unavailable",
            correlation_id=correlation_id,
            instance=self.name,
            method=method,
            error=describe(error),
        )
        return DependencyUnavailable(correlation_id)


async def run(served: ServedMethod, arguments: Arguments) -> object:
    """The method's own result. Raises its declared domain errors, CancelledError, DeadlineExceeded or
    DependencyUnavailable for calls that it made, and CallFailed for all else."""
    try:
        return await served.method(*arguments)
    except DomainError as error:
        if type(error) in served.plan.errors:
            raise
        if error.retryable:  # what the method needs is away for a moment
            raise served.instance.unavailable(served.plan.reading.name, error) from error
        raise served.instance.internal(served.plan.reading.name, error) from error
    except (asyncio.CancelledError, DeadlineExceeded):
        raise
    except MessageTooLarge as error:
        raise served.instance.internal(served.plan.reading.name, error) from error
    except (NotStarted, ConnectionLost) as error:  # of a call that the method made: this one did start
        raise served.instance.unavailable(served.plan.reading.name, error) from error
    except BaseException as error:  # the outermost frame of a slice's code: sys.exit() in it is its own affair
        raise served.instance.internal(served.plan.reading.name, error) from error


def outcome_of(error: DomainError) -> Outcome:
    """A declared refusal is an answer; only one that says "my fault" counts against the method."""
    return "ok" if error.status < 500 else "error"


def elapsed_us(began_ns: int) -> int:
    return (time.perf_counter_ns() - began_ns) // 1_000


def describe(error: BaseException) -> str:
    """Class, message and place: "ValueError: no price (orders/service.py:12)"."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:
        file = "/".join(frames[-1].filename.split("/")[-2:])
        place = f" ({file}:{frames[-1].lineno})"
    text = str(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def trace_text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS_MAX:]
