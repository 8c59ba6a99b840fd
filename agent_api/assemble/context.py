"""What controllers decide from, wired for the control process of a core node: any of these may lead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final

from controllers.context.context import ControlContext
from controllers.context.filling import HistoryFiller
from controllers.context.history import MinuteHistory
from controllers.scaling.config import config_of
from runtime.clock import Clock
from runtime.cluster.layout import NodeLayout
from runtime.cluster.membership import Lines
from runtime.config.settings import NodeSettings
from runtime.deployment.view import StateView
from runtime.invocation.connection import Connection
from runtime.invocation.incoming import Handlers
from runtime.names import NodeId
from runtime.telemetry.desk import TelemetryDesk

MIB: Final = 1024 * 1024


class ContextParts:
    """`work` runs for as long as the process does."""

    def __init__(
        self,
        *,
        node: NodeId,
        layout: NodeLayout,
        settings: NodeSettings,
        view: StateView,
        telemetry: TelemetryDesk,
        connect: Callable[[NodeId], Awaitable[Connection]],
        clock: Clock,
        log: Lines,
    ) -> None:
        def peers() -> Sequence[NodeId]:
            return [each.node for each in view.live_nodes() if each.role == "core" and each.node != node]

        self._telemetry = telemetry
        self.history = MinuteHistory(
            layout.history, days=settings.history_days, bytes_max=settings.history_mib * MIB, log=log
        )
        self.filler = HistoryFiller(
            history=self.history, days=settings.history_days, peers=peers, connect=connect, clock=clock, log=log
        )
        self.context = ControlContext(
            records=view,
            revision=lambda: view.cache.revision,
            history=self.history,
            slo_p95_ms=lambda name: config_of(view.cache, name).slo_p95_ms,
            log=log,
        )

    def offer(self, handlers: Handlers) -> None:
        """Answers other core nodes, and begins to listen to this node's telemetry."""
        self.filler.offer(handlers)
        self._telemetry.on_second(self.context.take)

    @property
    def work(self) -> tuple[Callable[[], Coroutine[object, object, None]], ...]:
        return self.history.run, self.filler.run, self._follow

    async def _follow(self) -> None:
        await self.context.run(self._telemetry.new_facts())
