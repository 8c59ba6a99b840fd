"""The InstanceHost inside a process: loads slices, drives their lives, and answers their calls."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from runtime.hosting.codec import MSGPACK, decode_unknown
from runtime.hosting.errors import InstanceFailed, UnknownInstance
from runtime.hosting.http_call import http_reply
from runtime.hosting.instance import (
    HostLog,
    Instance,
    Outcome,
    ServedMethod,
    describe,
    elapsed_us,
    hosted,
    outcome_of,
    run,
    trace_text,
)
from runtime.hosting.method_plan import ReplyTypeWrong
from runtime.hosting.modules import ModulesTaken, SharedModules
from runtime.hosting.ports import HostedInstance, InstanceSettings, PreparedArtifact
from runtime.hosting.proxies import DOMAIN_PREFIX, make_proxy
from runtime.hosting.tasks import TaskOwner
from runtime.invocation.context import current
from runtime.invocation.errors import NotStarted, RemoteFault
from runtime.invocation.incoming import IncomingCall
from runtime.sdk.bundle import read_entry
from runtime.sdk.contract import SliceContract
from runtime.sdk.domain import DomainError
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.reading import DependencyReading, SliceReading
from runtime.sdk.services import Caller, ServiceFactory, ServiceRequest
from runtime.state.values import Phase
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import HostedLoad
from runtime.telemetry.spans import SLOW_US, SpanWriter

INSTANCES_MAX: Final = 1_024

Key = tuple[str, int]
K = TypeVar("K")


class Host:
    """Implements InstanceHost. One per process; every method runs on its loop."""

    def __init__(
        self,
        *,
        node: str,
        caller: Caller,
        services: Mapping[str, ServiceFactory],
        recorder: Recorder,
        log: HostLog,
        tasks: TaskOwner,
        spans: SpanWriter | None = None,
    ) -> None:
        self._spans = spans
        self._node = node
        self._caller = caller
        self._services = services
        self._recorder = recorder
        self._log = log
        self._tasks = tasks
        self._modules = SharedModules()
        self._instances: dict[Key, Instance] = {}
        self._failed: dict[Key, HostedInstance] = {}  # those that could not even be constructed
        self._by_number: dict[tuple[str, int], ServedMethod] = {}
        self._by_target: dict[str, list[ServedMethod]] = {}
        self._by_artifact: dict[tuple[str, str], list[ServedMethod]] = {}
        self._turn = 0
        recorder.hosted = self.loads

    # The life of instances.

    async def load(self, artifact: PreparedArtifact, settings: InstanceSettings) -> SliceContract:
        """Imports the code and constructs the slice. Loading what is loaded already is no error."""
        key = (settings.slice, settings.number)
        known = self._instances.get(key)
        if known is not None and known.phase is not Phase.FAILED:
            if known.settings != settings or known.sha256 != artifact.sha256:
                raise InstanceFailed(f"{known.name} is loaded with other settings; unload it first")
            return known.reading.contract
        if len(self._instances) >= INSTANCES_MAX:
            raise InstanceFailed(f"this process holds {INSTANCES_MAX} instances already")
        if known is not None:
            self._modules.leave(known.code)
        self._failed.pop(key, None)
        instance = self._loaded(artifact, settings)
        self._instances[key] = instance
        self._log.info("instance_loaded", instance=instance.name, version=settings.version)
        return instance.reading.contract

    async def activate(self, slice_name: str, number: int) -> None:
        """Runs `start()` under its time limit."""
        instance = self._known(slice_name, number)
        if instance.phase is Phase.ACTIVE:
            return
        if instance.phase is not Phase.LOADED:
            raise InstanceFailed(f"{instance.name} is {instance.phase}, not loaded: {instance.reason}")
        instance.phase = Phase.ACTIVATING
        limit_s = instance.settings.start_timeout_ms / 1_000
        await self._within(instance, instance.run_start, limit_s, "start")
        instance.phase = Phase.ACTIVE
        self._index(instance)
        self._log.info("instance_activated", instance=instance.name)

    async def deactivate(self, slice_name: str, number: int, *, drain_ms: int) -> None:
        """Takes no new calls, waits for those in progress, runs `stop()`."""
        instance = self._known(slice_name, number)
        if instance.phase is Phase.LOADED:
            return
        if instance.phase is not Phase.ACTIVE:
            raise InstanceFailed(f"{instance.name} is {instance.phase}, not active: {instance.reason}")
        instance.phase = Phase.DEACTIVATING
        if not await instance.drained(seconds=drain_ms / 1_000):
            self._log.warning("drain_incomplete", instance=instance.name, calls=instance.in_progress)
        self._forget(instance)
        limit_s = instance.settings.stop_timeout_ms / 1_000
        await self._within(instance, instance.run_stop, limit_s, "stop")
        instance.phase = Phase.LOADED
        self._log.info("instance_deactivated", instance=instance.name)

    async def unload(self, slice_name: str, number: int) -> None:
        """Lets go of the instance. An unknown one is no error."""
        key = (slice_name, number)
        self._failed.pop(key, None)
        instance = self._instances.get(key)
        if instance is None:
            return
        if instance.phase not in (Phase.LOADED, Phase.FAILED):
            raise InstanceFailed(f"{instance.name} is {instance.phase}; deactivate it first")
        self._forget(instance)
        del self._instances[key]
        self._modules.leave(instance.code)
        self._log.info("instance_unloaded", instance=instance.name)
        del instance
        gc.collect()  # what it held goes with it, cycles and all: the next one may be here at once, in this process

    async def instances(self) -> tuple[HostedInstance, ...]:
        return (*(instance.state() for instance in self._instances.values()), *self._failed.values())

    def loads(self) -> tuple[HostedLoad, ...]:
        """What the active instances do now, by slice and version."""
        active: dict[tuple[str, str], list[Instance]] = {}
        for instance in self._instances.values():
            if instance.phase is Phase.ACTIVE:
                active.setdefault((instance.settings.slice, instance.settings.version), []).append(instance)
        return tuple(
            HostedLoad(*key, len(each), sum(one.in_progress for one in each), sum(one.limit for one in each))
            for key, each in active.items()
        )

    async def stop_all(self, *, drain_ms: int) -> None:
        """For the process's end: deactivates what is active, all at once."""
        active = [key for key, instance in self._instances.items() if instance.phase is Phase.ACTIVE]
        stopping = [
            self._tasks.start(self.deactivate(*key, drain_ms=drain_ms), name=f"stop {key[0]}/{key[1]}")
            for key in active
        ]
        for result in await asyncio.gather(*stopping, return_exceptions=True):
            if isinstance(result, BaseException):
                self._log.warning("instance_not_stopped", error=describe(result))

    # Calls.

    def find(self, target: str, number: int) -> ServedMethod | None:
        """The method of that instance, or of the next one with room when `number` is 0."""
        if number:
            return self._by_number.get((target, number))
        return self._next(self._by_target.get(target, ()))

    async def answer(self, call: IncomingCall) -> bytes:
        """The reply's payload. Raises NotStarted, or RemoteFault for errors of plain calls; an HTTP call's errors are
        replies. Runs in a task of its own."""
        served = self.find(call.target, call.instance)
        if served is None:
            raise NotStarted(f"no instance of {call.target} is active here", retry_after_ms=0)
        instance = served.instance
        if not instance.has_room():
            served.recorder.record(0, "rejected")
        instance.admit()
        context = call.context.child()
        current.set(context)
        hosted.set(instance.name)
        began_ns = time.perf_counter_ns()
        outcome: Outcome = "error"
        try:
            if call.http:
                reply, outcome = await http_reply(served, call.payload, call.context.request_id)
                return MSGPACK.encode(reply)
            payload = served.plan.reply(await run(served, served.plan.arguments(call.payload)))
            outcome = "ok"
            return payload
        except DomainError as error:
            outcome = outcome_of(error)
            raise domain_fault(error) from None
        except ReplyTypeWrong as error:
            raise instance.internal(served.plan.reading.name, error) from error
        finally:
            instance.release()
            took_us = elapsed_us(began_ns)
            served.recorder.record(took_us, outcome)
            if self._spans is not None and (context.sampled or outcome != "ok" or took_us >= SLOW_US):
                self._spans.record(context, call.target, took_us, failed=outcome != "ok", detail=instance.name)

    # Inside.

    def _known(self, slice_name: str, number: int) -> Instance:
        instance = self._instances.get((slice_name, number))
        if instance is None:
            failed = self._failed.get((slice_name, number))
            raise UnknownInstance(failed.reason if failed else f"{slice_name}/{number} is not loaded here")
        return instance

    def _loaded(self, artifact: PreparedArtifact, settings: InstanceSettings) -> Instance:
        name = f"{settings.slice}/{settings.number}"
        try:
            self._modules.enter(artifact.code)
        except ModulesTaken as error:
            raise self._refused(settings, f"{name}: {error}") from None
        try:
            reading = self._read(artifact, settings, name)
            instance = Instance(reading, settings, artifact.code, artifact.sha256, log=self._log)
            instance.construct(self._injected(reading, settings, artifact.sha256), self._recorder)
        except InstanceFailed as error:
            self._modules.leave(artifact.code)
            raise self._refused(settings, str(error)) from error.__cause__
        return instance

    def _read(self, artifact: PreparedArtifact, settings: InstanceSettings, name: str) -> SliceReading:
        entry = next((contract.entry for contract in artifact.slices if contract.name == settings.slice), None)
        if entry is None:
            raise InstanceFailed(f"{name}: the artifact has no slice of that name")
        token = hosted.set(name)
        try:
            reading = read_entry(entry)
        except SliceInvalid as error:
            raise InstanceFailed(f"{name}: {error}") from error
        except BaseException as error:  # importing runs the slice's own code, which may even exit
            self._log.error("import_failed", instance=name, traceback=trace_text(error))
            raise InstanceFailed(f"{name}: importing {entry} raised {describe(error)}") from error
        finally:
            hosted.reset(token)
        found = (reading.contract.name, reading.contract.version)
        if found != (settings.slice, settings.version):
            raise InstanceFailed(f"{name}: the code is slice {found[0]} {found[1]}, not {settings.version}")
        return reading

    def _injected(self, reading: SliceReading, settings: InstanceSettings, sha256: str) -> dict[str, object]:
        injected: dict[str, object] = {}
        for dependency in reading.dependencies:
            injected[dependency.contract.parameter] = self._dependency(dependency, settings, sha256)
        if reading.config is not None:
            try:
                injected["config"] = msgspec.convert(
                    settings.config, reading.config, strict=False, dec_hook=decode_unknown
                )
            except msgspec.ValidationError as error:
                raise InstanceFailed(f"{settings.slice}/{settings.number}: its config is wrong: {error}") from None
        return injected

    def _dependency(self, dependency: DependencyReading, settings: InstanceSettings, sha256: str) -> object:
        contract = dependency.contract
        if contract.kind == "slice":
            return make_proxy(dependency, self._caller, lambda target: self._local(target, sha256))
        factory = self._services.get(contract.name)
        if factory is None:
            if not contract.required:
                return None
            raise InstanceFailed(
                f"{settings.slice}/{settings.number}: this process offers no service {contract.name!r}; "
                f"it offers {', '.join(sorted(self._services)) or 'none'}"
            )
        return factory(
            ServiceRequest(
                slice=settings.slice,
                version=settings.version,
                number=settings.number,
                node=self._node,
                config=settings.config,
                caller=self._caller,
            )
        )

    def _refused(self, settings: InstanceSettings, reason: str) -> InstanceFailed:
        self._failed[settings.slice, settings.number] = HostedInstance(
            slice=settings.slice, number=settings.number, version=settings.version, phase=Phase.FAILED, reason=reason
        )
        self._instances.pop((settings.slice, settings.number), None)
        self._log.error("instance_failed", instance=f"{settings.slice}/{settings.number}", reason=reason)
        return InstanceFailed(reason)

    async def _within(self, instance: Instance, work: Callable[[], Awaitable[None]], seconds: float, what: str) -> None:
        async def limited() -> None:
            await work()

        try:
            await self._tasks.within(limited(), seconds=seconds, name=f"{what} {instance.name}")
        except TimeoutError:
            error = instance.failed(f"its {what}() took longer than {seconds:g} s")
            self._log.error("instance_failed", instance=instance.name, reason=instance.reason)
            raise error from None
        except InstanceFailed:
            self._log.error("instance_failed", instance=instance.name, reason=instance.reason)
            raise

    def _index(self, instance: Instance) -> None:
        for target, served in _targets(instance):
            self._by_number[target, instance.settings.number] = served
            self._by_target.setdefault(target, []).append(served)
            self._by_artifact.setdefault((instance.sha256, target), []).append(served)

    def _forget(self, instance: Instance) -> None:
        for target, served in _targets(instance):
            self._by_number.pop((target, instance.settings.number), None)
            _remove(self._by_target, target, served)
            _remove(self._by_artifact, (instance.sha256, target), served)

    def _local(self, target: str, sha256: str) -> ServedMethod | None:
        return self._next(self._by_artifact.get((sha256, target), ()))

    def _next(self, candidates: list[ServedMethod] | tuple[()]) -> ServedMethod | None:
        """The next in turn that has room; None lets the caller look elsewhere."""
        for _ in candidates:
            self._turn += 1
            served = candidates[self._turn % len(candidates)]
            if served.instance.has_room():
                return served
        return None


def domain_fault(error: DomainError) -> RemoteFault:
    """A declared error as it travels."""
    return RemoteFault(
        code=f"{DOMAIN_PREFIX}{error.code}",
        detail=str(error),
        retryable=error.retryable,
        remedy="",
        payload=MSGPACK.encode(error.fields()),
    )


def _targets(instance: Instance) -> Iterator[tuple[str, ServedMethod]]:
    for method, served in instance.served.items():
        yield f"{instance.settings.slice}/{method}", served


def _remove(index: dict[K, list[ServedMethod]], key: K, served: ServedMethod) -> None:
    others = [other for other in index.get(key, ()) if other is not served]
    if others:
        index[key] = others
    else:
        index.pop(key, None)
