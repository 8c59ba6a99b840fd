"""The gateway process: `python -P -m agent_api.assemble.gateway --data DIR`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from agent_api.assemble.system_slices import SYSTEM_SLICES, gateway_services
from runtime.clock import SystemClock
from runtime.cluster.identity import NodeIdentity, read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.words import words_told
from runtime.config.settings import NodeSettings, read_settings
from runtime.errors import RuntimeFault
from runtime.gateway.front import Front
from runtime.gateway.gateway import Gateway
from runtime.gateway.inline import InlineCaller
from runtime.gateway.limits import MIB, GatewayLimits
from runtime.gateway.server import HttpServer, bind
from runtime.gateway.system import start_system_slices
from runtime.gateway.tasks import Tasks
from runtime.gateway.verbs import DRAIN, STATS, TABLE
from runtime.gateway.watch import RequestWatch
from runtime.hosting.host import Host
from runtime.hosting.output import captured_output
from runtime.hosting.tasks import TaskOwner
from runtime.hosting.verbs import host_verbs
from runtime.invocation.channels import InlineChannel
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import connect_tls, connect_unix, serve_tls, serve_unix
from runtime.invocation.outcome import Outcome
from runtime.invocation.router import Router
from runtime.invocation.table import PeerRow
from runtime.security.tls import client_context, server_context
from runtime.telemetry.log import Log, open_log, take_level
from runtime.telemetry.process import watch_vitals
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import ProcessReport
from runtime.telemetry.segments import SegmentWriter
from runtime.telemetry.spans import SpanWriter

STOP_S: Final = 3.0  # of the drain's time, kept for stopping inline slices and closing what is left
HOST_DRAIN_MS: Final = 1_000
TASKS_CLOSE_S: Final = 1.0
LOG_FLUSH_S: Final = 1.0


def limits_of(settings: NodeSettings) -> GatewayLimits:
    return GatewayLimits(
        body_bytes_max=settings.http_body_max_mib * MIB,
        bodies_bytes_max=16 * settings.http_body_max_mib * MIB,
        connections_max=settings.http_connections_max,
        requests_in_flight_max=settings.http_requests_in_flight_max,
        keep_alive_s=settings.http_keep_alive_s,
        drain_s=settings.drain_s,
    )


class Parts:
    """Everything the process is made of, wired; nothing listens yet but the bound HTTP address."""

    def __init__(self, layout: NodeLayout, identity: NodeIdentity, settings: NodeSettings, log: Log) -> None:
        self.layout = layout
        self.identity = identity
        self.log = log
        self.limits = limits_of(settings)
        self.listener = bind(identity.listen.host, identity.listen.http)
        self.tasks = Tasks()
        self.host_tasks = TaskOwner()
        self.recorder, self.host_recorder = Recorder(), Recorder()
        self.spans = SpanWriter(
            SegmentWriter(layout.traces, "gateway"), node=identity.node, process="gateway", clock=SystemClock()
        )
        self.accepts = server_context(layout.tls)
        self._dials = client_context(layout.tls)
        self.host = Host(
            node=identity.node,
            caller=InlineCaller(lambda: self.router),
            services=gateway_services(layout, identity, nodes=lambda: self.router.nodes()),  # noqa: PLW0108  made later
            recorder=self.host_recorder,
            log=log,
            tasks=self.host_tasks,
            spans=self.spans,
        )
        self.router = Router(
            node=identity.node,
            dial_worker=self._dial_worker,
            dial_peer=self._dial_peer,
            inline=InlineChannel(self.host.answer),
            random=random.random,
            observe=self._forwarded,
        )
        self.from_workers = Handlers(raw=self.router.take_local_call)
        self.from_peers = Handlers(raw=self.router.take_peer_call)
        watch = RequestWatch(meters=self.recorder, lines=log, spans=self.spans)
        self.front = Front(
            calls=self.router, watch=watch, limits=self.limits, clock=SystemClock(), random=random.random
        )
        self.http = HttpServer(self.front, self.listener)

    def _forwarded(self, context: CallContext, target: str, source: str, took_s: float, outcome: Outcome) -> None:
        """A hop between gateways, or from a worker of this node."""
        failed, detail = outcome.error is not None, str(outcome.error or "")
        self.spans.record(context, f"{target} for {source}", int(took_s * 1e6), failed=failed, detail=detail)

    async def _dial_worker(self, worker: str) -> Connection:
        return await connect_unix(self.layout.socket(worker), self.from_workers)

    async def _dial_peer(self, peer: PeerRow) -> Connection:
        host, _, port = peer.address.rpartition(":")
        return await connect_tls(host.strip("[]"), int(port), self._dials, peer.node, self.from_peers)


async def serve(parts: Parts) -> None:
    """Listens, serves until SIGTERM, drains, closes. A second signal ends the process at once."""
    stopping = stop_signals()
    listen = parts.identity.listen
    peers = await serve_tls(listen.host, listen.peer, parts.accepts, parts.from_peers)
    gateway = Gateway(
        node=parts.identity.node,
        front=parts.front,
        server=parts.http,
        routing=parts.router,
        goaway=peers.goaway,
        forwarding=lambda: sum(connection.handling for connection in peers.connections),
        lines=parts.log,
        system=await start_system_slices(parts.host, SYSTEM_SLICES),
        opens=lambda: parts.http.start(parts.tasks),
    )
    local = await serve_unix(parts.layout.socket("gateway"), verbs(parts, gateway))
    parts.recorder.vitals.connections = lambda: len(parts.http.connections)
    parts.recorder.waiting = parts.router.waiting.counts
    parts.tasks.every(LOG_FLUSH_S, parts.log.flush)
    parts.tasks.start(watch_vitals(parts.recorder.vitals, each_second=parts.spans.tick), "vitals")
    parts.log.info("gateway_started", pid=os.getpid(), http=f"{listen.host}:{listen.http}", peer=peers.address)
    gc.freeze()  # what is here now stays: the collector need not walk it again and again
    await asyncio.wait((stopping, parts.tasks.failed), return_when=asyncio.FIRST_COMPLETED)
    await gateway.drain(max(0.0, parts.limits.drain_s - STOP_S))
    await parts.host.stop_all(drain_ms=HOST_DRAIN_MS)
    await parts.http.close()
    await parts.router.close()
    await peers.close()
    await local.close()
    await parts.host_tasks.close(grace_s=TASKS_CLOSE_S)
    failure = parts.tasks.failed.exception() if parts.tasks.failed.done() else None
    await parts.tasks.close()
    parts.spans.close()
    parts.log.info("gateway_stopped")
    if failure is not None:
        raise failure


def verbs(parts: Parts, gateway: Gateway) -> Handlers:
    """What the Unix socket answers: control's verbs, the inline host's, and the calls of workers."""

    def host_report(_level: bytes) -> bytes:
        """Counts only: the process's own figures are in the other report."""
        whole = parts.host_recorder.report("inline")
        return msgspec.msgpack.encode(
            ProcessReport(
                process=whole.process, boot=whole.boot, pid=whole.pid, methods=whole.methods, hosted=whole.hosted
            )
        )

    async def stats(call: IncomingCall) -> bytes:
        take_level(parts.log, call.payload)
        return msgspec.msgpack.encode(parts.recorder.report("gateway"))

    return Handlers(
        unary={
            TABLE: gateway.take_table,
            DRAIN: gateway.take_drain,
            STATS: stats,
            **host_verbs(parts.host, host_report),
        },
        raw=parts.router.take_local_call,
    )


def stop_signals() -> asyncio.Future[None]:
    """Completes on the first SIGTERM or SIGINT; the second ends the process."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def signalled() -> None:
        if stopping.done():
            os._exit(os.EX_SOFTWARE)
        stopping.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    return stopping


async def run(layout: NodeLayout) -> None:
    identity = read_identity(layout.identity)
    settings = read_settings(layout.data)
    log = open_log(layout.logs, "gateway", node=identity.node, level=settings.log_level)
    with contextlib.closing(log), captured_output(log):  # of inline slices
        await serve(Parts(layout, identity, settings, log))


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit status: 0 after a drain, EX_CONFIG or EX_UNAVAILABLE when it could not start."""
    layout = NodeLayout(Path(words_told("aether-gateway", argv, data=None)["data"]))
    try:
        uvloop.run(run(layout))
    except (FileNotFoundError, msgspec.ValidationError) as error:
        print(f"aether-gateway: {layout.identity} is missing or damaged: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except RuntimeFault as fault:
        print(f"aether-gateway: {fault}. {fault.remedy}", file=sys.stderr)
        return os.EX_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
