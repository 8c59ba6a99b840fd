"""Playbooks, wired for the control process: every node plans, the leader's kernel carries out."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from agent_api.assemble.backup_proof import ProofInAProcess
from agent_api.assemble.gate import GateParts
from controllers.gate.answers import AnswerBook
from controllers.gate.recalling import GateRecall
from controllers.journal.trigger_marks import StoreMarks
from playbooks.actions.shelf import builtin_actions
from playbooks.definitions import EndedProposals, PlaybookDefinitions
from playbooks.errors import AskRefused
from playbooks.expressions.picture import Measured, Standing
from playbooks.kind import PlaybookKind
from playbooks.offline.telling import OfflineTelling
from playbooks.planning.planner import RunPlanner
from playbooks.ports import PlaybookPorts
from playbooks.starting import Makers
from playbooks.triggers.decide import SeenEvent
from playbooks.triggers.loop import TriggerLoop
from playbooks.triggers.seen import seen_alerts
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leader_services import LeaderService
from runtime.consensus.cache import StoreCache
from runtime.consensus.store import Revision
from runtime.content.port import ContentStore
from runtime.names import NodeId
from runtime.operations import subjects
from runtime.operations.actor import Actor
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.operation import Query
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.telemetry.desk import TelemetryDesk
from runtime.telemetry.picture import FIGURE_S

if TYPE_CHECKING:
    from agent_api.control_api.answers import Answer

PREFIXES: Final = (keys.PLAYBOOKS, keys.PLAYBOOK_STARTS, keys.PLAYBOOK_PROOFS)
"""What playbooks read beside what the gate and the kernel do."""
FIGURES: Final = (
    *("calls", "errors", "rejected", "instances", "errors_share", "p50_ms", "p95_ms", "p99_ms", "instance_mb"),
    *("forecast_p95_vs_capacity", "slo_burn_5m", "slo_burn_30m", "slo_burn_1h"),
    *("slo_burn_6h", "slo_burn_3d"),
)


class PlaybookParts:
    """`kind`, `definitions` and `proposals` are what the kernel needs of playbooks; `services` run while this node
    leads, `telling` always."""

    def __init__(
        self,
        *,
        gate: GateParts,
        cache: StoreCache,
        content: ContentStore,
        telemetry: TelemetryDesk,
        leader: Callable[[], str],
        answers: Callable[[], Mapping[str, Answer]],
        layout: NodeLayout,
        node: NodeId,
    ) -> None:
        """answers: who answers the queries; asked for when the first one comes."""
        desk = gate.desk

        async def moved() -> None:
            await cache.wait_for(Revision(cache.revision + 1))

        self.ports = PlaybookPorts(
            dispatcher=gate.link,
            recalls=GateRecall(AnswerBook(desk.store, desk.clock), gate.link),
            asks=CatalogueAsks(gate.catalogue, answers),
            catalogue=gate.catalogue,
            state=cache,
            moved=moved,
            measures=DeskMeasures(telemetry, desk.clock.unix_ms),
            standing=lambda: Standing(leader=leader(), quorum=bool(leader()) and not cache.stale),
            content=content,
            clock=desk.clock,
            new_id=desk.new_id,
            log=desk.log,
            backups=layout.backups,
            proof=ProofInAProcess(),
        )
        actions = builtin_actions()
        self.kind = PlaybookKind(self.ports, actions)
        self.definitions = PlaybookDefinitions(cache)
        self.proposals = EndedProposals(cache, moved)
        self.planner = RunPlanner(self.ports, actions, functools.partial(desk.judge, tainted=False))
        self.makers = Makers(desk.clock, desk.new_id)
        triggers = TriggerLoop(
            ports=self.ports,
            makers=self.makers,
            alerts=lambda: seen_alerts(cache, desk.clock.unix_ms()),
            events=functools.partial(_events, telemetry),
            marks=StoreMarks(desk.store),
        )
        self.services: tuple[LeaderService, ...] = (triggers.run,)
        self.telling = OfflineTelling(
            directory=layout.offline_runs, node=node, log=gate.audit_log, lines=desk.log, clock=desk.clock
        )


async def _events(telemetry: TelemetryDesk, after: str) -> AsyncIterator[SeenEvent]:
    async for fact in telemetry.facts_behind(after):
        yield SeenEvent(id=fact.id, event=fact.event, data=fact.data)


class DeskMeasures:
    """Implements Measures: of slices the mean of the last ten seconds, of nodes the last second."""

    def __init__(self, desk: TelemetryDesk, now_unix_ms: Callable[[], int]) -> None:
        self._desk = desk
        self._now_unix_ms = now_unix_ms

    def measured(self) -> Measured:
        picture = msgspec.convert(self._desk.picture(), _Picture)
        slices: dict[str, dict[str, Json]] = {}
        for row in picture.slices:
            name = str(row["slice"])
            found = {metric: self._desk.figure(subjects.of_slice(name), metric) for metric in FIGURES}
            slices[name] = {metric: value for metric, value in found.items() if value is not None}
        nodes = {str(row["node"]): _known(row) for row in picture.nodes}
        return Measured(at_unix_ms=self._now_unix_ms(), window_s=FIGURE_S, slices=slices, nodes=nodes)


def _known(row: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in row.items() if name != "node" and value is not None}


class _Picture(msgspec.Struct, frozen=True):
    nodes: list[dict[str, Json]]
    slices: list[dict[str, Json]]


class CatalogueAsks:
    """Implements Asks by what answers the API's queries, for actors whose role suffices."""

    def __init__(self, catalogue: Catalogue, answers: Callable[[], Mapping[str, Answer]]) -> None:
        self._catalogue = catalogue
        self._find_answers = answers
        self._answers: Mapping[str, Answer] | None = None

    async def ask(self, operation: str, request: Mapping[str, Json], actor: Actor) -> dict[str, Json]:
        """Raises AskRefused, and what the answer raises."""
        query = self._catalogue.find(operation)
        if not isinstance(query, Query):
            raise OperationUnknown(f"{operation} is no question")
        if not all(each.may(query.role) for each in actor.chain()):
            raise AskRefused(f"{operation} needs the role {query.role}")
        if self._answers is None:
            self._answers = self._find_answers()
        try:
            asked = msgspec.convert(dict(request), query.request)
        except msgspec.ValidationError as error:
            raise AskRefused(f"{operation}: {error}") from error
        answer: dict[str, Json] = msgspec.to_builtins(await self._answers[operation](asked, actor))
        return answer
