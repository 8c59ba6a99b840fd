"""Runs a slice in the test's own process, called as the cluster would call it.

Arguments and replies are validated and copied as on the wire, limits and errors are the real ones. Other slices are
fakes, or slices that run the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar, cast

import msgspec

from runtime.gateway.routes import Missing, RouteTable, bindings_of
from runtime.hosting.codec import JSON
from runtime.hosting.errors import CallFailed, InstanceFailed
from runtime.hosting.http_call import http_reply
from runtime.hosting.instance import Instance, ServedMethod
from runtime.hosting.ports import InstanceSettings
from runtime.hosting.proxies import Proxy, make_proxy
from runtime.hosting.tasks import TaskOwner
from runtime.invocation.context import CallContext, current
from runtime.invocation.http import HttpRequest
from runtime.invocation.table import InstanceRow, RoutingTable
from runtime.sdk.contract import DependencyContract, SliceContract
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.reading import DependencyReading, SliceReading, read_interface, read_slice
from runtime.state.values import Phase
from runtime.telemetry.recorder import Recorder

T = TypeVar("T")

DEADLINE_S: Final = 5.0
_INSTANCE: Final = "_instance"


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an HTTP client would get. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return msgspec.json.decode(self.body)


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    level: str
    event: str
    fields: dict[str, object]


class CollectedLog:
    """Keeps what the host would log about the slice."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(LogLine(level="info", event=event, fields=fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(LogLine(level="warning", event=event, fields=fields))

    def error(self, event: str, **fields: object) -> None:
        self.lines.append(LogLine(level="error", event=event, fields=fields))


@asynccontextmanager
async def running(cls: type[T], *, config: object = None, **given: object) -> AsyncIterator[T]:
    """A started slice, to be called like the slice itself.

    `given` has a value for each constructor parameter: for a slice a fake with the same methods, or what another
    `running` gave; for an infra service any object. Raises SliceInvalid, InstanceFailed, or TypeError if one is
    missing.
    """
    reading = read_slice(cls)
    instance = _instance(reading)
    injected = _injected(reading, given)
    if reading.config is not None:
        injected["config"] = config if config is not None else reading.config()
    instance.construct(injected, Recorder())
    tasks = TaskOwner()
    await tasks.within(instance.run_start(), seconds=DEADLINE_S, name="start")
    instance.phase = Phase.ACTIVE
    try:
        yield cast(T, _proxy(instance, cls))  # it has the slice's methods
    finally:
        instance.phase = Phase.DEACTIVATING
        await tasks.within(instance.run_stop(), seconds=DEADLINE_S, name="stop")


async def http(
    slice_: object,
    verb: str,
    path: str,
    *,
    json: object = msgspec.UNSET,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """Calls a running slice as the HTTP front would: route, query, headers and body, and problem replies."""
    instance = getattr(slice_, _INSTANCE, None)
    if not isinstance(instance, Instance):
        raise TypeError("http() takes what `async with running(…)` gave")
    bare_path, _, query = path.partition("?")
    contract = instance.reading.contract
    table = RoutingTable(revision=1, node="test", instances=(_row(contract),), contracts=(contract,))
    found = RouteTable(bindings_of(table)).find(verb.encode(), bare_path.encode())
    if isinstance(found, Missing):
        status = 405 if found.allow else 404
        return HttpAnswer(status=status, headers={"allow": ", ".join(found.allow)}, body=b"")
    wanted = {name.decode() for name in found.binding.headers}
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    request = HttpRequest(
        found.binding.route,
        found.path,
        query,
        tuple((name, value) for name, value in sent.items() if name in wanted),
        body if json is msgspec.UNSET else JSON.encode(json),
    )
    return await _answered(instance, found.binding.method, request)


async def _answered(instance: Instance, method: str, request: HttpRequest) -> HttpAnswer:
    context = CallContext.root(asyncio.get_running_loop().time() + DEADLINE_S)
    token = current.set(context)
    instance.admit()
    try:
        reply, _ = await http_reply(instance.served[method], msgspec.msgpack.encode(request), context.request_id)
    finally:
        instance.release()
        current.reset(token)
    return HttpAnswer(status=reply.status, headers=dict(reply.headers), body=reply.body)


def logged(slice_: object) -> list[LogLine]:
    """What the host logged about a running slice: why an internal error was one."""
    instance = getattr(slice_, _INSTANCE, None)
    log = getattr(instance, "log", None)
    return list(log.lines) if isinstance(log, CollectedLog) else []


class _Nowhere:
    """The caller of a process without a cluster."""

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        raise AssertionError(f"{target} is served in this process")


def _instance(reading: SliceReading) -> Instance:
    contract = reading.contract
    settings = InstanceSettings(slice=contract.name, number=1, version=contract.version)
    return Instance(reading, settings, "", "", log=CollectedLog())


def _injected(reading: SliceReading, given: Mapping[str, object]) -> dict[str, object]:
    wanted = {dependency.contract.parameter for dependency in reading.dependencies}
    unknown = given.keys() - wanted
    if unknown:
        raise TypeError(f"{reading.cls.__qualname__} has no dependency {min(unknown)!r}; it has {sorted(wanted)}")
    injected: dict[str, object] = {}
    for dependency in reading.dependencies:
        contract = dependency.contract
        value = given.get(contract.parameter)
        if value is None and contract.required:
            raise TypeError(f"{reading.cls.__qualname__} needs {contract.parameter}: give a fake or a running slice")
        if value is None or contract.kind == "service" or isinstance(value, Proxy):
            injected[contract.parameter] = value
        else:
            injected[contract.parameter] = _fake(dependency, value)
    return injected


def _fake(dependency: DependencyReading, fake: object) -> Proxy:
    """A fake behind the checks that a slice has."""
    reading = SliceReading(
        cls=type(fake),
        contract=SliceContract(name=dependency.contract.name, version="0", entry="fake"),
        methods=read_interface(dependency.interface),
        dependencies=(),
        config=None,
        file="",
        line=0,
    )
    instance = _instance(reading)
    instance.serve(fake, Recorder())
    instance.phase = Phase.ACTIVE
    return _proxy(instance, dependency.interface)


def _proxy(instance: Instance, interface: type) -> Proxy:
    contract = DependencyContract(parameter="slice", kind="slice", name=instance.settings.slice)

    def find(target: str) -> ServedMethod | None:
        return instance.served.get(target.partition("/")[2])

    proxy = make_proxy(DependencyReading(contract=contract, interface=interface), _Nowhere(), find)
    setattr(proxy, _INSTANCE, instance)
    return proxy


def _row(contract: SliceContract) -> InstanceRow:
    return InstanceRow(contract.name, contract.version, "test", 1)


__all__ = ["CallFailed", "HttpAnswer", "InstanceFailed", "SliceInvalid", "http", "logged", "running"]
