"""Scaling, wired for the control process: every node listens, the leader decides."""

from __future__ import annotations

import functools

from agent_api.assemble.context import ContextParts
from agent_api.assemble.forecasting import ForecastParts
from agent_api.assemble.gate import GateParts
from controllers.journal.decisions import StoreJournal
from controllers.nodes.journal import NodeJournal
from controllers.nodes.loop import NodeLoop
from controllers.nodes.making import NodeMaking
from controllers.scaling.figures import PUBLISHED, ScalingFigures
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.tree import default_tree
from controllers.ttm.outlook import LiveOutlook
from evals.forge.node_door import ForgeNodes
from runtime.cluster.leader_services import LeaderService
from runtime.content.port import ContentStore
from runtime.deployment.view import StateView
from runtime.operations.identity import new_id
from runtime.telemetry.desk import TelemetryDesk


class ScalingParts:
    """`loop` hears each second from now on; `services` run, and `forecasts` are made, while this node leads."""

    def __init__(
        self,
        *,
        context: ContextParts | None,
        content: ContentStore,
        view: StateView,
        gate: GateParts,
        telemetry: TelemetryDesk,
    ) -> None:
        """context: None on a node that keeps no history, and so never leads."""
        store, clock, log = gate.desk.store, gate.desk.clock, gate.desk.log
        day_ago = context.context.day_ago if context is not None else lambda _slice: None
        forecasting = ForecastParts(
            history=context.history if context is not None else None,
            view=view,
            store=store,
            content=content,
            dispatcher=gate.link,
            clock=clock,
            log=log,
        )
        identify = functools.partial(new_id, clock)
        self.loop = ScalingLoop(
            state=view.cache,
            records=view,
            tree=default_tree(),
            loads=lambda: context.context.snapshot().slices if context is not None else {},
            outlook=LiveOutlook(forecasting.forecasts, day_ago),
            dispatcher=gate.link,
            journal=StoreJournal(store=store, audit=gate.audit_log, new_id=identify, log=log),
            clock=clock,
            new_id=identify,
            log=log,
        )
        telemetry.on_second(self.loop.hear)
        telemetry.publish(PUBLISHED, ScalingFigures(known=self.loop, window=telemetry.recent))
        self.forecasts = forecasting.forecasts
        self.nodes = NodeLoop(
            state=view.cache,
            records=view,
            slices=self.loop,
            dispatcher=gate.link,
            journal=NodeJournal(store=store, audit=gate.audit_log, log=log),
            making=NodeMaking(store=store, state=view.cache, provider_at=ForgeNodes, clock=clock, log=log),
            clock=clock,
            new_id=identify,
            log=log,
        )
        self.services: tuple[LeaderService, ...] = (self.loop.run, self.nodes.run, *forecasting.services)
