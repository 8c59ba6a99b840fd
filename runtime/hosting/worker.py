"""The worker's body: one event loop, one Unix socket, one host. Everything is made after the fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from runtime.clock import SystemClock
from runtime.cluster.layout import NodeLayout
from runtime.hosting.host import Host
from runtime.hosting.instance import HostLog, describe
from runtime.hosting.output import capture_output
from runtime.hosting.tasks import TaskOwner
from runtime.hosting.verbs import host_verbs
from runtime.hosting.zygote import READY
from runtime.invocation.context import CallContext
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.link import Link
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.sdk.services import ServiceFactory
from runtime.telemetry.log import open_log, take_level
from runtime.telemetry.process import watch_vitals
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.segments import SegmentWriter
from runtime.telemetry.spans import SpanWriter

try:
    import uvloop
except ImportError:  # a node may do without
    uvloop = None  # type: ignore[assignment]  # said where it is used

DRAIN_MS: Final = 5_000  # as long as the default deadline of a call
CLOSE_LIMIT_S: Final = 1.0
LOG_FLUSH_S: Final = 0.5  # two wake-ups a second cost an idle worker 0.01 % of a core


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What the worker's main hands in. `services` maps the names of infra services to their factories."""

    layout: NodeLayout
    node: str
    worker: str
    services: Mapping[str, ServiceFactory]


class GatewayCaller:
    """The way out of a worker: its node's gateway, which knows where everything is."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        """`node` goes in front of the target, as in "n1:aether-cache/get"."""
        limit = asyncio.get_running_loop().time() + deadline_s
        own = CallContext.root(limit) if context is None else context.child()
        own.deadline = min(own.deadline, limit)
        connection = self._link.now or await self._link.connection(deadline_s=deadline_s)
        return await connection.call(f"{node}:{target}" if node else target, payload, context=own)


def seed_random() -> None:
    """Forks of one zygote would all draw the same numbers."""
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def serve(parts: WorkerParts, ready: int) -> int:
    """Runs until SIGTERM. Returns the process's exit status. Writes to `ready` once the socket listens."""
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(_serve(parts, ready))  # not closed: slice code may refuse to be cancelled


def _new_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop() if uvloop is None else uvloop.new_event_loop()


async def _serve(parts: WorkerParts, ready: int) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = open_log(parts.layout.logs, parts.worker, node=parts.node)
    streams = capture_output(log)
    loop.set_exception_handler(lambda _, context: _log_stray(log, context))
    recorder, tasks = Recorder(), TaskOwner()
    spans = SpanWriter(
        SegmentWriter(parts.layout.traces, parts.worker), node=parts.node, process=parts.worker, clock=SystemClock()
    )
    gateway = parts.layout.socket("gateway")
    link = Link(lambda: connect_unix(gateway), name="gateway").start()
    host = Host(
        node=parts.node,
        caller=GatewayCaller(link),
        services=parts.services,
        recorder=recorder,
        log=log,
        tasks=tasks,
        spans=spans,
    )
    tasks.start(watch_vitals(recorder.vitals, each_second=spans.tick), name="vitals")

    def stats(level: bytes) -> bytes:
        take_level(log, level)
        return msgspec.msgpack.encode(recorder.report(parts.worker))

    verbs = host_verbs(host, stats)
    handlers = Handlers(
        unary=verbs, default=host.answer, failed=lambda call, id_, error: _log_failed(log, call, id_, error)
    )
    listener = await serve_unix(parts.layout.socket(parts.worker), handlers)
    log.info("worker_started", pid=os.getpid())
    os.write(ready, READY)
    os.close(ready)
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOG_FLUSH_S):
                await stopping.wait()
        log.flush()
    log.info("worker_stopping")
    listener.goaway()
    await host.stop_all(drain_ms=DRAIN_MS)
    await listener.close()
    await link.close()
    await tasks.close(grace_s=CLOSE_LIMIT_S)
    for stream in streams:
        stream.finish()
    spans.close()
    log.info("worker_stopped")
    log.close()  # the process ends without the interpreter's own end
    return 0


def _log_failed(log: HostLog, call: IncomingCall, correlation_id: str, error: BaseException) -> None:
    log.error("verb_failed", target=call.target, correlation_id=correlation_id, error=describe(error))


def _log_stray(log: HostLog, context: Mapping[str, object]) -> None:
    """A task that nobody awaited failed; it is the slice's own."""
    error = context.get("exception")
    text = describe(error) if isinstance(error, BaseException) else ""
    log.error("task_failed", message=str(context.get("message", "")), error=text)
