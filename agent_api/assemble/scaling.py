"""Scaling, wired for the control process: every node listens, the leader decides."""

from __future__ import annotations

import functools

from agent_api.assemble.burning import UnattendedBurns
from agent_api.assemble.context import ContextParts
from agent_api.assemble.forecasting import ForecastParts
from agent_api.assemble.gate import GateParts
from controllers.journal.decisions import StoreJournal
from controllers.nodes.journal import NodeJournal
from controllers.nodes.loop import NodeLoop
from controllers.nodes.making import NodeMaking
from controllers.scaling.boosted import Boosted, open_boosted
from controllers.scaling.burning import SlowBurns
from controllers.scaling.figures import PUBLISHED, ScalingFigures
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.reasoning import Asker, ReasoningLayer
from controllers.scaling.tree import default_tree
from controllers.ttm.outlook import LiveOutlook
from evals.forge.node_door import ForgeNodes
from runtime.cluster.leader_services import LeaderService
from runtime.cluster.membership import Lines
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
        reasoning: ReasoningLayer,
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
            boosted=functools.partial(_boosted, log),
            asker=Asker(reasoning, burning=UnattendedBurns(view.cache, clock), clock=clock, log=log),
        )
        telemetry.on_second(self.loop.hear)
        burns = (
            SlowBurns(history=context.history, slices=self.loop.standings, clock=clock) if context is not None else None
        )
        telemetry.publish(PUBLISHED, ScalingFigures(known=self.loop, window=telemetry.recent, burns=burns))
        self.forecasts = forecasting.forecasts
        self.nodes = NodeLoop(
            state=view.cache,
            records=view,
            slices=self.loop,
            dispatcher=gate.link,
            journal=NodeJournal(store=store, audit=gate.audit_log, new_id=identify, log=log),
            making=NodeMaking(store=store, state=view.cache, provider_at=ForgeNodes, clock=clock, log=log),
            clock=clock,
            new_id=identify,
            log=log,
        )
        self.services: tuple[LeaderService, ...] = (self.loop.run, self.nodes.run, *forecasting.services)
        if burns is not None:
            self.services += (burns.run,)


def _boosted(log: Lines) -> Boosted:
    """Raises BoostedInvalid."""
    return open_boosted(failed=lambda why: log.warning("boosted_rules_failed", reason=why))
