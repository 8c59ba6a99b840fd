"""What the API needs: handed in by assemble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent_api.control_api.turns import Reasoner
from controllers.context.training_data import TrainingData
from controllers.conversations.bulk import Bulk
from controllers.gate.making import Gatekeeper
from controllers.gate.verifying import AuditReader
from controllers.model_budget.records import Limits
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.queries import ForecastPage, ForecastRequest
from controllers.ttm.records import ForecastModel
from playbooks.planning.planner import RunPlanner
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Store
from runtime.deployment.view import StateView
from runtime.names import NodeId, Sha256
from runtime.operations.catalogue import Catalogue
from runtime.security.oidc import OidcSettings
from runtime.security.oidc_provider import ReadSecret
from runtime.state.values import ArtifactRecord


class Shelf(Protocol):
    """Artifacts, as infra/artifacts keeps them."""

    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ArtifactRecord: ...


class Models(Protocol):
    """Models that forecast, as controllers/ttm keeps them."""

    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ForecastModel: ...


class Telemetry(Protocol):
    """What the cluster measured and wrote down."""

    def exposition(self) -> bytes: ...

    def picture(self) -> dict[str, object]: ...

    async def window(self, slice_name: str) -> dict[str, object] | None: ...

    async def methods(self, slice_name: str) -> dict[str, object]: ...

    def node_window(self, node: str) -> dict[str, object] | None: ...

    async def logs(self, query: dict[str, str]) -> dict[str, object]: ...

    async def traces(self, query: dict[str, str]) -> dict[str, object]: ...

    def facts(self, after: str, limit: int) -> dict[str, object]: ...

    def follow_facts(self, after: str) -> AsyncIterator[dict[str, object]]: ...


class ForecastBook(Protocol):
    """What the leader forecasts, at any node."""

    async def page(self, request: ForecastRequest) -> ForecastPage: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """requests_per_s_max: of each principal. oidc: None where no identity provider is set. oidc_secret: reads the
    client's secret, None for a client without one."""

    requests_per_s_max: int = 1_000
    streams_max: int = 2_000
    oidc: OidcSettings | None = None
    oidc_secret: ReadSecret = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    node: NodeId
    store: Store
    view: StateView
    shelf: Shelf
    models: Models
    dispatcher: Gatekeeper
    audit: AuditReader
    clock: Clock
    settings: ApiSettings = ApiSettings()
    catalogue: Catalogue
    telemetry: Telemetry
    training_data: TrainingData
    scaling: ScalingLoop
    forecasts: ForecastBook
    run_planner: RunPlanner
    reasoner: Reasoner
    bulk: Bulk
    join: Callable[[bytes], Awaitable[bytes]]
    is_leader: Callable[[], bool]
    leader: Callable[[], str]
    gateway_up: Callable[[], bool]
    log: Lines
    model_limits: Callable[[], Limits]
    forge_door: Callable[[], str]
    """Where the Forge listens that this cluster runs in, as it is set now; empty is none."""
    file_settings: Mapping[str, object]
    """What this node's own config.toml says."""
