"""The control process: `python -P -m agent_api.assemble.control --data DIR`."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec
import uvloop

from agent_api.assemble.api import serve_api
from agent_api.assemble.control_parts import Parts
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leader_services import run_leader_services
from runtime.cluster.seed import plant_seed
from runtime.cluster.words import words_told
from runtime.config.settings import read_settings
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Leadership, Revision
from runtime.content.serving import offer_content
from runtime.errors import RuntimeFault
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import serve_tls, serve_unix
from runtime.security.tls import server_context
from runtime.telemetry.log import Log, open_log
from runtime.telemetry.process import watch_vitals

SEED_RETRY_S: Final = 0.2
LOG_FLUSH_S: Final = 0.5


async def serve(parts: Parts) -> None:
    """Runs until SIGTERM. Workers, gateway and store go on: another control finds them as they are."""
    identity, log = parts.identity, parts.log
    parts.disk.open()
    parts.source.open()
    handlers = Handlers()
    parts.telemetry.offer(handlers)
    parts.gate.link.offer(handlers)
    parts.reasoner.offer(handlers)
    parts.forecasts.offer(handlers)
    if parts.context is not None:
        parts.context.offer(handlers)
    offer_content(handlers, disk=parts.disk, content=parts.content)
    remote = await serve_tls(identity.listen.host, identity.listen.control, server_context(parts.layout.tls), handlers)
    local = await serve_unix(parts.layout.socket("control"), Handlers(unary=parts.leaving.verbs()))
    log.info("control_started", api=parts.record.addresses.api)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        for work in (
            parts.cache.run,
            parts.publisher.run,
            parts.membership.run,
            parts.manager.run,
            parts.content.repair_forever,
            parts.telemetry.run,
            parts.config.run,
            parts.leaving.run,
            parts.playbooks.telling.run,
            *((parts.hung_leader().run,) if parts.identity.role == "core" else ()),
            *(parts.context.work if parts.context is not None else ()),
        ):
            tasks.start_soon(work)
        for job in (_serve_api, _plant, _lead, _push_tables):
            tasks.start_soon(job, parts)
        tasks.start_soon(_flush, log)
        tasks.start_soon(watch_vitals, parts.recorder.vitals)
    with anyio.CancelScope(shield=True):
        await remote.close()
        await local.close()
        await parts.store.close()
    log.info("control_stopped")


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()


async def _lead(parts: Parts) -> None:
    def noted(leadership: Leadership) -> None:
        parts.leadership = leadership

    await parts.cache.ready()
    gc.freeze()  # modules, the API and the state stay: a collection amid a tick need not walk them
    services = (
        parts.deployer.run,
        *parts.gate.services,
        *parts.alerts.services,
        *parts.scaling.services,
        *parts.workflows.services,
        *parts.playbooks.services,
        *parts.conversations.services,
        parts.reasoner.run,
        parts.remedies.run,
        parts.postponed.run,
    )
    await run_leader_services(
        store=parts.store, node=parts.identity.node, services=services, log=parts.log, noted=noted
    )


async def _push_tables(parts: Parts) -> None:
    """The gateway goes by what it has until this process knows the state, and what runs on this node."""
    await parts.cache.changed(Revision(0))
    await parts.manager.adopted.wait()
    await parts.gateway.run()


async def _plant(parts: Parts) -> None:
    while True:
        try:
            await plant_seed(parts.layout, parts.store)
        except StoreFault:
            await anyio.sleep(SEED_RETRY_S)
            continue
        return


async def _flush(log: Log) -> None:
    while True:
        await anyio.sleep(LOG_FLUSH_S)
        log.flush()


async def _serve_api(parts: Parts) -> None:
    await serve_api(parts.api(), parts.identity.listen)


async def run(layout: NodeLayout) -> None:
    identity = read_identity(layout.identity)
    settings = read_settings(layout.data)
    log = open_log(layout.logs, "control", node=identity.node, level=settings.log_level)
    with contextlib.closing(log):
        await serve(Parts(layout, identity, settings, log))


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit status: 0 when told to stop, EX_CONFIG or EX_UNAVAILABLE when it could not start."""
    layout = NodeLayout(Path(words_told("aether-control", argv, data=None)["data"]))
    status = os.EX_OK
    try:
        uvloop.run(run(layout))
    except* (FileNotFoundError, msgspec.ValidationError) as group:
        print(f"aether-control: {layout.identity} is missing or damaged: {group.exceptions[0]}", file=sys.stderr)
        status = os.EX_CONFIG
    except* RuntimeFault as group:
        print(f"aether-control: {_first(group)}", file=sys.stderr)
        status = os.EX_UNAVAILABLE
    return status


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that is not a group itself."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


if __name__ == "__main__":
    sys.exit(main())
