"""What the control process is made of, wired: nothing here runs or listens by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from agent_api.assemble.alerting import AlertParts
from agent_api.assemble.context import ContextParts
from agent_api.assemble.conversations import ConversationParts, limits_of
from agent_api.assemble.forecast_desk import ForecastDesk
from agent_api.assemble.forecasting import check_in_process
from agent_api.assemble.gate import PREFIXES as GATE_PREFIXES
from agent_api.assemble.gate import GateParts
from agent_api.assemble.identity import api_settings
from agent_api.assemble.model_verbs import budget_limits
from agent_api.assemble.peers import Peers
from agent_api.assemble.playbooks import PREFIXES as PLAYBOOK_PREFIXES
from agent_api.assemble.playbooks import PlaybookParts
from agent_api.assemble.postponed import PostponedWork
from agent_api.assemble.reasoning import ReasonerLink
from agent_api.assemble.remedies import Remedies
from agent_api.assemble.reports import ProcessReports
from agent_api.assemble.reviewing import ReasonerSeat
from agent_api.assemble.scaling import ScalingParts
from agent_api.assemble.workflows import WorkflowParts
from agent_api.control_api.ports import ApiParts
from controllers.context.training_data import TrainingData
from controllers.gate.making import MakingGate
from controllers.model_budget.keeper import BudgetKeeper
from controllers.model_budget.records import Limits
from controllers.ttm.keeping import ModelShelf
from infra.artifacts.keeping import ArtifactShelf
from infra.artifacts.source import DiskArtifactSource
from runtime.clock import SystemClock
from runtime.cluster.admission import handle_join
from runtime.cluster.hung_leader import HungLeader
from runtime.cluster.identity import IdentityUnwritable, NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leaving import Leaving
from runtime.cluster.membership import Membership, Publisher
from runtime.cluster.ports import addresses_of
from runtime.cluster.supervision import SupervisorClient
from runtime.config.effective import layers_of, settings_in
from runtime.config.following import ConfigFollower
from runtime.config.settings import NodeSettings, file_members
from runtime.consensus.cache import StoreCache
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.figures import StoreFigures
from runtime.consensus.store import Leadership, Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.content.serving import ConnectedPeers
from runtime.deployment.cluster_manager import ClusterManager
from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.node_manager import NodeManager
from runtime.deployment.routing_table import build
from runtime.deployment.view import PREFIXES, StateView
from runtime.deployment.worker_pool import WorkerPool
from runtime.hosting.workers import ZygoteWorkerHost
from runtime.invocation.listener import connect_unix
from runtime.invocation.table import RoutingTable, SliceRules
from runtime.security.tls import NODE_CERTIFICATE
from runtime.state.values import NodeRecord
from runtime.telemetry.desk import DiskRing, RingKind, TelemetryDesk
from runtime.telemetry.facts import TOLD
from runtime.telemetry.log import Log
from runtime.telemetry.machine import Machine
from runtime.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from agent_api.control_api.answers import Answer

MIB: Final = 1024 * 1024
DAY_S: Final = 86_400.0


def rules_of(settings: NodeSettings) -> SliceRules:
    """What they say of requests to slices."""
    return SliceRules(request_ms_max=settings.request_ms_max, slow_request_ms=settings.slow_request_ms)


def rings_of(layout: NodeLayout, settings: NodeSettings) -> dict[RingKind, DiskRing]:
    age_s = settings.log_ring_days * DAY_S
    return {
        "logs": DiskRing(directory=layout.logs, bytes_max=settings.log_ring_mib * MIB, age_s_max=age_s),
        "traces": DiskRing(directory=layout.traces, bytes_max=settings.trace_ring_mib * MIB, age_s_max=age_s),
    }


class Parts:
    """Of one node; nothing runs or listens yet."""

    def __init__(self, layout: NodeLayout, identity: NodeIdentity, settings: NodeSettings, log: Log) -> None:
        self.layout, self.identity, self.settings, self.log = layout, identity, settings, log
        self.clock = SystemClock()
        self.store = StoreClient.open(layout, identity, learned=self.keep_core_nodes)
        self.cache = StoreCache(self.store, (*PREFIXES, *GATE_PREFIXES, *PLAYBOOK_PREFIXES))
        self.view = StateView(self.cache)
        self.leadership = Leadership(leader="", fence=Revision(0))
        self.peers = Peers(node=identity.node, view=self.view, tls=layout.tls)
        self.disk = DiskContent(layout.content, size_bytes_max=settings.artifact_size_max_mib * MIB)
        self.content = ReplicatedContent(
            node=identity.node, disk=self.disk, store=self.store, peers=ConnectedPeers(self.peers.connect)
        )
        self.shelf = ArtifactShelf(content=self.content, clock=self.clock)
        self.models = ModelShelf(content=self.content, check=check_in_process, clock=self.clock)
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
        self.pool = self._pool()
        self.manager = self._manager()
        self.deployer = ClusterManager(store=self.store, view=self.view, clock=self.clock, log=log)
        self.recorder = Recorder()
        self.log_level: str = settings.log_level
        self.reports = ProcessReports(
            recorder=self.recorder, gateway=self.gateway, pool=self.pool, log_level=lambda: self.log_level
        )
        self.telemetry = self._telemetry(settings)
        self.rules = rules_of(settings)
        self.rules_of: dict[str, SliceRules] = {}  # until the follower has told what the state says
        self.file_settings = file_members(layout.data)
        self.config = self._config()
        self.gate = self._gate()
        self.model_budget = self._budget()
        self.context = self._context() if identity.role == "core" else None
        self.scaling = self._scaling()
        self.alerts = self._alerts()
        self.playbooks = self._playbooks()
        self.workflows = WorkflowParts(gate=self.gate, content=self.content, playbooks=self.playbooks)
        self.conversations = ConversationParts(gate=self.gate, content=self.content, limits=limits_of(settings))
        self.reasoner = self._reasoner()
        self.forecasts = self._forecasts()
        self.remedies = self._remedies()
        self.postponed = self._postponed()
        self.leaving = Leaving(
            node=identity.node,
            store=self.store,
            view=self.view,
            membership=self.membership,
            end=SupervisorClient(layout.socket("supervisor")).shutdown,
            log=log,
        )

    def _pool(self) -> WorkerPool:
        workers = ZygoteWorkerHost(
            self.layout,
            SupervisorClient(self.layout.socket("supervisor")),
            notice=lambda event, fields: self.log.warning(event, **fields),
        )
        return WorkerPool(workers=workers, socket=self.layout.socket, now_s=self.clock.monotonic_s, log=self.log)

    def _manager(self) -> NodeManager:
        return NodeManager(
            node=self.identity.node,
            view=self.view,
            source=self.source,
            pool=self.pool,
            gateway=self.gateway,
            publisher=self.publisher,
            clock=self.clock,
            log=self.log,
        )

    def _alerts(self) -> AlertParts:
        return AlertParts(
            layout=self.layout,
            identity=self.identity,
            settings=self.settings,
            view=self.view,
            store=self.store,
            telemetry=self.telemetry,
            clock=self.clock,
            log=self.log,
        )

    def _telemetry(self, settings: NodeSettings) -> TelemetryDesk:
        layout, identity = self.layout, self.identity
        return TelemetryDesk(
            node=identity.node,
            store=self.store,
            prefixes=(*PREFIXES, *TOLD),
            rings=rings_of(layout, settings),
            reports=self.reports.gather,
            silent=self.reports.silent,
            store_figures=self.store_figures,
            has_store=identity.role == "core",
            machine=Machine(data=layout.data, certificate=layout.tls / NODE_CERTIFICATE, clock=self.clock).figures,
            instances=self.instances,
            peers=self.peers.live,
            down=self.peers.down,
            connect=self.peers.connect,
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

    def _playbooks(self) -> PlaybookParts:
        def found() -> Mapping[str, Answer]:
            from agent_api.control_api.answers import answers

            return answers(self.api())

        return PlaybookParts(
            gate=self.gate,
            cache=self.cache,
            content=self.content,
            telemetry=self.telemetry,
            leader=lambda: self.leadership.leader,
            answers=found,
            layout=self.layout,
            node=self.identity.node,
        )

    def hung_leader(self) -> HungLeader:
        """Of a core node, which may lead."""
        return HungLeader(
            node=self.identity.node,
            leader=lambda: "" if self.cache.stale else self.leadership.leader,
            live_cores=lambda: [each.node for each in self.view.live_nodes() if each.role == "core"],
            transfer=self.store.transfer_leadership,
            clock=self.clock,
            log=self.log,
        )

    def _context(self) -> ContextParts:
        return ContextParts(
            node=self.identity.node,
            layout=self.layout,
            settings=self.settings,
            view=self.view,
            telemetry=self.telemetry,
            connect=self.peers.connect,
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
            connect=self.peers.connect,
            dial_store=lambda: connect_unix(self.layout.socket("store")),
            clock=self.clock,
            log=self.log,
        )

    def _scaling(self) -> ScalingParts:
        return ScalingParts(
            context=self.context,
            content=self.content,
            view=self.view,
            gate=self.gate,
            telemetry=self.telemetry,
            reasoning=self._seat(),
        )

    def _forecasts(self) -> ForecastDesk:
        return ForecastDesk(
            node=self.identity.node,
            leader=lambda: self.leadership.leader,
            connect=self.peers.connect,
            scaling=self.scaling.loop,
            forecasts=self.scaling.forecasts,
        )

    def _seat(self) -> ReasonerSeat:
        return ReasonerSeat(
            self.layout.socket("reasoner"),
            configured=lambda: bool(settings_in(self.cache, self.identity.node, self.file_settings).model_providers),
            started=lambda handlers: self.reasoner.opened(handlers),  # noqa: PLW0108  it is made later
            budget=self.model_budget,
            log=self.log,
        )

    def _remedies(self) -> Remedies:
        return Remedies(desk=self.gate.desk, state=self.cache, book=self.conversations.book, go_on=self.reasoner.go_on)

    def _postponed(self) -> PostponedWork:
        book = self.conversations.book
        return PostponedWork(desk=self.gate.desk, wait_for=self.cache.wait_for, book=book, reasoner=self.reasoner)

    def _reasoner(self) -> ReasonerLink:
        return ReasonerLink(
            node=self.identity.node,
            leader=lambda: self.leadership.leader,
            connect=self.peers.connect,
            book=self.conversations.book,
            budget=self.model_budget,
            layout=self.layout,
            log=self.log,
        )

    def model_limits(self) -> Limits:
        return budget_limits(settings_in(self.cache, self.identity.node, self.file_settings))

    def _budget(self) -> BudgetKeeper:
        desk = self.gate.desk
        return BudgetKeeper(
            node=self.identity.node,
            store=desk.store,
            led=desk.fence,
            limits=self.model_limits,
            new_id=desk.new_id,
            clock=self.clock,
        )

    def take_settings(self, settings: NodeSettings, of_slices: Mapping[str, NodeSettings]) -> None:
        """What applies at once: gateway and workers hear the log level with the next question for their figures, and
        the gateway what holds for slices with a new table."""
        rules, rules_of_slices = rules_of(settings), {name: rules_of(each) for name, each in of_slices.items()}
        if (rules, rules_of_slices) != (self.rules, self.rules_of):
            self.rules, self.rules_of = rules, rules_of_slices
            self.gateway.push()
        self.conversations.keeper.limits = limits_of(settings)
        self.log_level = settings.log_level
        self.log.set_level(settings.log_level)
        self.telemetry.limit(rings_of(self.layout, settings))

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
            targets=self.view.targets(),
            rules=self.rules,
            rules_of=self.rules_of,
        )

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

    def api(self) -> ApiParts:
        async def join(body: bytes) -> bytes:
            return await handle_join(
                body, tls=self.layout.tls, store=self.store, add_member=self.store.add_member, clock=self.clock
            )

        def forge_door() -> str:
            stored = layers_of(self.cache, self.identity.node, file=self.file_settings).stored()
            settings = msgspec.convert({**self.file_settings, **stored}, NodeSettings)
            return settings.forge_door

        return ApiParts(
            node=self.identity.node,
            store=self.store,
            view=self.view,
            shelf=self.shelf,
            models=self.models,
            dispatcher=MakingGate(self.gate.link, self.clock, makers=(self.playbooks.makers,)),
            audit=self.gate.audit,
            clock=self.clock,
            settings=api_settings(self.settings, self.layout),
            catalogue=self.gate.catalogue,
            telemetry=self.telemetry,
            training_data=TrainingData(self.context.history if self.context is not None else None),
            scaling=self.scaling.loop,
            forecasts=self.forecasts,
            run_planner=self.playbooks.planner,
            reasoner=self.reasoner,
            bulk=self.conversations.bulk,
            join=join,
            is_leader=lambda: self.leadership.leader == self.identity.node,
            leader=lambda: self.leadership.leader,
            gateway_up=lambda: self.gateway.is_up,
            log=self.log,
            model_limits=self.model_limits,
            forge_door=forge_door,
            file_settings=self.file_settings,
        )
