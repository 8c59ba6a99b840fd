"""What a slice holds instead of another slice: the same methods, wherever they run.

A proxy resolves at call time: to an ACTIVE instance of the same artifact in this process if there is one, else
through the caller, which is the gateway's connection.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runtime.hosting.codec import msgpack_decoder
from runtime.hosting.errors import ArgumentsInvalid, ReplyInvalid
from runtime.hosting.instance import Outcome, ServedMethod, elapsed_us, hosted, outcome_of, run
from runtime.hosting.method_plan import Arguments, ReplyTypeWrong, encode_arguments
from runtime.invocation.context import CallContext, current
from runtime.invocation.errors import DeadlineExceeded, RemoteFault
from runtime.sdk.domain import DomainError
from runtime.sdk.reading import DependencyReading, read_interface
from runtime.sdk.services import Caller
from runtime.sdk.signature import MethodReading

DOMAIN_PREFIX: Final = "domain:"

FindLocal = Callable[[str], ServedMethod | None]
"""Target → the method of an ACTIVE instance in this process that has room."""


class Proxy:
    """Carries one attribute per method of the interface."""

    def __init__(self, name: str, methods: dict[str, Callable[..., Awaitable[object]]]) -> None:
        self.__dict__.update(methods)
        self._slice = name

    def __repr__(self) -> str:
        return f"<slice {self._slice}>"


def make_proxy(dependency: DependencyReading, caller: Caller, find_local: FindLocal) -> Proxy:
    """A proxy with the methods of the dependency's interface. Raises SliceInvalid."""
    name = dependency.contract.name
    readings = read_interface(dependency.interface)
    return Proxy(name, {method: _method(name, readings[method], caller, find_local) for method in readings})


def _method(
    slice_name: str, reading: MethodReading, caller: Caller, find_local: FindLocal
) -> Callable[..., Awaitable[object]]:
    target = f"{slice_name}/{reading.name}"
    deadline_s = reading.contract.deadline_ms / 1_000
    decoder = msgpack_decoder(reading.returns)
    signature = _signature(reading)
    count = len(reading.parameters)

    async def call(*arguments: object, **named: object) -> object:
        if named or len(arguments) != count:
            arguments = _bound(signature, target, arguments, named)
        served = find_local(target)
        if served is not None:
            return await call_here(served, arguments)
        payload = encode_arguments(target, arguments)
        try:
            raw = await caller.call(target, payload, current.get(), deadline_s=deadline_s)
        except RemoteFault as fault:
            raise domain_error(fault, reading) or fault from None
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise ReplyInvalid(f"{target}: {error}") from None

    call.__name__ = call.__qualname__ = reading.name
    return call


async def call_here(served: ServedMethod, arguments: Arguments) -> object:
    """Calls an instance in this very task. Values, errors, limits and deadlines are as for a remote one."""
    instance, plan = served.instance, served.plan
    instance.admit()
    began_ns = time.perf_counter_ns()
    outcome: Outcome = "error"
    loop = asyncio.get_running_loop()
    own_deadline = loop.time() + plan.reading.contract.deadline_ms / 1_000
    parent = current.get()
    context = CallContext.root(own_deadline) if parent is None else parent.child()
    shortens = context.deadline > own_deadline
    if shortens:
        context.deadline = own_deadline
    context_token, instance_token = current.set(context), hosted.set(instance.name)
    try:
        handed = plan.handed_over(arguments)
        if shortens or parent is None:
            value = await _in_time(served, handed, own_deadline)
        else:  # the caller's own deadline comes first, and ends this task
            value = await run(served, handed)
        reply = plan.handed_back(value)
        outcome = "ok"
        return reply
    except DomainError as error:
        outcome = outcome_of(error)
        raise
    except ReplyTypeWrong as error:
        raise instance.internal(plan.reading.name, error) from error
    finally:
        current.reset(context_token)
        hosted.reset(instance_token)
        instance.release()
        served.recorder.record(elapsed_us(began_ns), outcome)


async def _in_time(served: ServedMethod, arguments: Arguments, deadline: float) -> object:
    timer = asyncio.timeout_at(deadline)
    try:
        async with timer:
            return await run(served, arguments)
    except TimeoutError:
        if timer.expired():
            raise DeadlineExceeded(f"{served.plan.reading.name} did not end in time") from None
        raise


def domain_error(fault: RemoteFault, reading: MethodReading) -> DomainError | None:
    """The declared error that travelled as `fault`; None if it is none of those."""
    if not fault.code.startswith(DOMAIN_PREFIX):
        return None
    code = fault.code.removeprefix(DOMAIN_PREFIX)
    for error in reading.errors:
        if error.code == code:
            try:
                return error.from_fields(fault.payload)
            except msgspec.DecodeError as problem:
                raise ReplyInvalid(f"{reading.name}: fields of {code}: {problem}") from None
    return None


def _signature(reading: MethodReading) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(p.name, kind, default=inspect.Parameter.empty if p.required else p.default)
            for p in reading.parameters
        ]
    )


def _bound(signature: inspect.Signature, target: str, arguments: Arguments, named: dict[str, object]) -> Arguments:
    try:
        bound = signature.bind(*arguments, **named)
    except TypeError as error:
        raise ArgumentsInvalid(f"{target}: {error}") from None
    bound.apply_defaults()
    return bound.args
