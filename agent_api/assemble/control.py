"""The control process: `python -P -m agent_api.assemble.control --data DIR`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec
import uvloop

from agent_api.assemble.api import serve_api
from agent_api.assemble.context import ContextParts
from agent_api.assemble.gate import PREFIXES as GATE_PREFIXES
from agent_api.assemble.gate import GateParts
from agent_api.assemble.scaling import ScalingParts
from agent_api.control_api.ports import ApiParts, ApiSettings
from controllers.context.training_data import TrainingData
from controllers.gate.making import MakingGate
from infra.artifacts.keeping import ArtifactShelf
from infra.artifacts.source import DiskArtifactSource
from runtime.clock import SystemClock
from runtime.cluster.admission import handle_join
from runtime.cluster.identity import IdentityUnwritable, NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leader_services import run_leader_services
from runtime.cluster.leaving import Leaving
from runtime.cluster.membership import Membership, Publisher
from runtime.cluster.ports import addresses_of
from runtime.cluster.seed import plant_seed
from runtime.cluster.supervision import SupervisorClient
from runtime.config.following import ConfigFollower
from runtime.config.settings import NodeSettings, file_members, read_settings
from runtime.consensus.cache import StoreCache
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.figures import StoreFigures
from runtime.consensus.store import Leadership, Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.content.serving import ConnectedPeers, offer_content
from runtime.deployment.cluster_manager import ClusterManager
from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.node_manager import NodeManager
from runtime.deployment.routing_table import build
from runtime.deployment.view import PREFIXES, StateView
from runtime.deployment.worker_pool import PooledWorker, WorkerPool
from runtime.errors import RuntimeFault
from runtime.hosting.workers import ZygoteWorkerHost
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, NotStarted
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_tls, connect_unix, serve_tls, serve_unix
from runtime.invocation.table import RoutingTable, SliceRules
from runtime.names import NodeId
from runtime.security.oidc import OidcSettings
from runtime.security.tls import client_context, server_context
from runtime.state.values import NodeRecord
from runtime.telemetry.desk import DiskRing, TelemetryDesk
from runtime.telemetry.facts import TOLD
from runtime.telemetry.log import Log, open_log
from runtime.telemetry.process import watch_vitals
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import ProcessReport

MIB: Final = 1024 * 1024
SEED_RETRY_S: Final = 0.2
LOG_FLUSH_S: Final = 0.5
REPORTS_S: Final = 0.7  # of each second, to gather reports in
DAY_S: Final = 86_400.0


def rules_of(settings: NodeSettings) -> SliceRules:
    """What they say of requests to slices."""
    return SliceRules(request_ms_max=settings.request_ms_max, slow_request_ms=settings.slow_request_ms)


def ring(directory: Path, mib: int, days: int) -> DiskRing:
    return DiskRing(directory=directory, bytes_max=mib * MIB, age_s_max=days * DAY_S)


class Parts:
    """Everything the process is made of, wired; nothing runs or listens yet."""

    def __init__(self, layout: NodeLayout, identity: NodeIdentity, settings: NodeSettings, log: Log) -> None:
        self.layout, self.identity, self.settings, self.log = layout, identity, settings, log
        self.clock = SystemClock()
        self.store = StoreClient.open(layout, identity, learned=self.keep_core_nodes)
        self.cache = StoreCache(self.store, (*PREFIXES, *GATE_PREFIXES))
        self.view = StateView(self.cache)
        self.leadership = Leadership(leader="", fence=Revision(0))
        self.dials = client_context(layout.tls)
        self.peers: dict[str, Connection] = {}
        self.disk = DiskContent(layout.content, size_bytes_max=settings.artifact_size_max_mib * MIB)
        self.content = ReplicatedContent(
            node=identity.node, disk=self.disk, store=self.store, peers=ConnectedPeers(self.connect)
        )
        self.shelf = ArtifactShelf(content=self.content, clock=self.clock)
        self.source = DiskArtifactSource(
            layout.environments, content=self.content, find_links=settings.artifact_find_links
        )
        self.publisher = Publisher(self.store)
        self.record = NodeRecord(
            node=identity.node, role=identity.role, zone=identity.zone, addresses=addresses_of(identity.listen)
        )
        self.membership = Membership(
            store=self.store, record=self.record, publisher=self.publisher, clock=self.clock, log=log
        )
        self.gateway = GatewayLink(layout.socket("gateway"), build=self.table, log=log)
        workers = ZygoteWorkerHost(
            layout,
            SupervisorClient(layout.socket("supervisor")),
            notice=lambda event, fields: log.warning(event, **fields),
        )
        self.pool = WorkerPool(workers=workers, socket=layout.socket, now_s=self.clock.monotonic_s, log=log)
        self.manager = NodeManager(
            node=identity.node,
            view=self.view,
            source=self.source,
            pool=self.pool,
            gateway=self.gateway,
            publisher=self.publisher,
            clock=self.clock,
            log=log,
        )
        self.deployer = ClusterManager(store=self.store, view=self.view, clock=self.clock, log=log)
        self.recorder = Recorder()
        self.telemetry = self._telemetry(settings)
        self.log_level: str = settings.log_level
        self.rules = rules_of(settings)
        self.rules_of: dict[str, SliceRules] = {}  # until the follower has told what the state says
        self.file_settings = file_members(layout.data)
        self.config = self._config()
        self.gate = self._gate()
        self.context = self._context() if identity.role == "core" else None
        self.scaling = ScalingParts(
            context=self.context, content=self.content, view=self.view, gate=self.gate, telemetry=self.telemetry
        )
        self.leaving = Leaving(
            node=identity.node,
            store=self.store,
            view=self.view,
            membership=self.membership,
            end=SupervisorClient(layout.socket("supervisor")).shutdown,
            log=log,
        )

    def _telemetry(self, settings: NodeSettings) -> TelemetryDesk:
        layout, identity = self.layout, self.identity
        return TelemetryDesk(
            node=identity.node,
            store=self.store,
            prefixes=(*PREFIXES, *TOLD),
            rings={
                "logs": ring(layout.logs, settings.log_ring_mib, settings.log_ring_days),
                "traces": ring(layout.traces, settings.trace_ring_mib, settings.log_ring_days),
            },
            reports=self.reports,
            store_figures=self.store_figures,
            instances=self.instances,
            peers=self.other_nodes,
            down=self.down_nodes,
            connect=self.connect,
            is_leader=lambda: self.leadership.leader == identity.node,
            clock=self.clock,
        )

    def _config(self) -> ConfigFollower:
        return ConfigFollower(
            node=self.identity.node,
            state=self.cache,
            data=self.layout.data,
            file=self.file_settings,
            live=self.take_settings,
            log=self.log,
        )

    def _context(self) -> ContextParts:
        return ContextParts(
            node=self.identity.node,
            layout=self.layout,
            settings=self.settings,
            view=self.view,
            telemetry=self.telemetry,
            connect=self.connect,
            clock=self.clock,
            log=self.log,
        )

    def _gate(self) -> GateParts:
        return GateParts(
            node=self.identity.node,
            store=self.store,
            cache=self.cache,
            content=self.content,
            figures=self.telemetry,
            leadership=lambda: self.leadership,
            connect=self.connect,
            dial_store=lambda: connect_unix(self.layout.socket("store")),
            clock=self.clock,
            log=self.log,
        )

    def take_settings(self, settings: NodeSettings, of_slices: Mapping[str, NodeSettings]) -> None:
        """What applies at once: gateway and workers hear the log level with the next question for their figures, and
        the gateway what holds for slices with a new table."""
        rules, rules_of_slices = rules_of(settings), {name: rules_of(each) for name, each in of_slices.items()}
        if (rules, rules_of_slices) != (self.rules, self.rules_of):
            self.rules, self.rules_of = rules, rules_of_slices
            self.gateway.push()
        self.log_level = settings.log_level
        self.log.set_level(settings.log_level)

    def keep_core_nodes(self, addresses: dict[str, str]) -> None:
        """For the next start of a node without a store, when none of those that it joined through may be left. A full
        disk must not keep it from asking them now."""
        kept = msgspec.structs.replace(read_identity(self.layout.identity), core_nodes=addresses)
        try:
            write_identity(self.layout.identity, kept)
        except IdentityUnwritable as error:
            self.log.warning("core_nodes_not_kept", error=str(error))

    def table(self) -> RoutingTable:
        own = self.identity.node
        others = [endpoint for endpoint in self.view.endpoints() if endpoint.node != own]
        return build(
            revision=self.cache.revision,
            node=own,
            nodes=self.view.live_nodes(),
            endpoints=[*others, *self.manager.endpoints()],
            contracts=self.view.contracts(),
            local=self.manager.local_workers(),
            rules=self.rules,
            rules_of=self.rules_of,
        )

    async def reports(self) -> tuple[ProcessReport, ...]:
        """Of this node's control, gateway and workers; one that does not answer is left out."""
        found = [self.recorder.report("control")]

        async def ask(source: Callable[[], Awaitable[bytes]]) -> None:
            with contextlib.suppress(CallFault, msgspec.DecodeError):
                found.append(msgspec.msgpack.decode(await source(), type=ProcessReport))

        async def of_worker(worker: PooledWorker) -> bytes:
            return await (await worker.host()).stats(self.log_level)

        with anyio.move_on_after(REPORTS_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, functools.partial(self.gateway.stats, self.log_level))
                tasks.start_soon(ask, self.gateway.host_stats)
                for worker in self.pool.all():
                    tasks.start_soon(ask, functools.partial(of_worker, worker))
        return tuple(found)

    async def store_figures(self) -> StoreFigures | None:
        """Of this node's own store; worker nodes have none."""
        if self.identity.role != "core":
            return None
        try:
            return await self.store.figures()
        except StoreFault:
            return None

    def instances(self) -> dict[str, int]:
        """Serving instances of this node, by slice."""
        return dict(Counter(str(endpoint.slice) for endpoint in self.manager.endpoints()))

    def other_nodes(self) -> list[NodeId]:
        return [record.node for record in self.view.live_nodes() if record.node != self.identity.node]

    def down_nodes(self) -> list[NodeId]:
        known = {record.node for record in self.view.nodes()} - {record.node for record in self.view.live_nodes()}
        return sorted(known - {self.identity.node})

    async def connect(self, node: NodeId) -> Connection:
        """The connection to another node's control. Raises NotStarted."""
        known = self.peers.get(node)
        if known is not None and known.is_open:
            return known
        record = self.view.node(node)
        if record is None:
            raise NotStarted(f"node {node} is not known")
        host, _, port = record.addresses.control.rpartition(":")
        connection = self.peers[node] = await connect_tls(host.strip("[]"), int(port), self.dials, node)
        return connection

    def api(self) -> ApiParts:
        async def join(body: bytes) -> bytes:
            return await handle_join(
                body, tls=self.layout.tls, store=self.store, add_member=self.store.add_member, clock=self.clock
            )

        return ApiParts(
            node=self.identity.node,
            store=self.store,
            view=self.view,
            shelf=self.shelf,
            dispatcher=MakingGate(self.gate.link, self.clock),
            audit=self.gate.audit,
            clock=self.clock,
            settings=ApiSettings(requests_per_s_max=self.settings.api_requests_per_s_max, oidc=_oidc(self.settings)),
            catalogue=self.gate.catalogue,
            telemetry=self.telemetry,
            training_data=TrainingData(self.context.history if self.context is not None else None),
            scaling=self.scaling.loop,
            forecasts=self.scaling.forecasts,
            join=join,
            is_leader=lambda: self.leadership.leader == self.identity.node,
            leader=lambda: self.leadership.leader,
            gateway_up=lambda: self.gateway.is_up,
            log=self.log,
            file_settings=self.file_settings,
        )


async def serve(parts: Parts) -> None:
    """Runs until SIGTERM. Workers, gateway and store go on: another control finds them as they are."""
    identity, log = parts.identity, parts.log
    parts.disk.open()
    parts.source.open()
    handlers = Handlers()
    parts.telemetry.offer(handlers)
    parts.gate.link.offer(handlers)
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
    services = (parts.deployer.run, *parts.gate.services, *parts.scaling.services)
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


def _oidc(settings: NodeSettings) -> OidcSettings | None:
    if not settings.oidc_issuer:
        return None
    return OidcSettings(issuer=settings.oidc_issuer, audience=settings.oidc_audience, keys=settings.oidc_keys)


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
    parser = argparse.ArgumentParser(prog="aether-control", description="reconciles the node and answers its API")
    parser.add_argument("--data", type=Path, required=True)
    layout = NodeLayout(parser.parse_args(argv).data)
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
