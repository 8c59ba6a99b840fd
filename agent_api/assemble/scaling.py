"""Scaling, wired for the control process: every node listens, the leader decides."""

from __future__ import annotations

import functools

from agent_api.assemble.gate import GateParts
from controllers.journal.decisions import StoreJournal
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.tree import default_tree
from controllers.scaling.watch import NoOutlook
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Store
from runtime.deployment.view import StateView
from runtime.operations.identity import new_id
from runtime.telemetry.desk import TelemetryDesk


def make_scaling(
    *, store: Store, view: StateView, gate: GateParts, telemetry: TelemetryDesk, clock: Clock, log: Lines
) -> ScalingLoop:
    """It hears each second from now on; `run` is for the leader."""
    identify = functools.partial(new_id, clock)
    loop = ScalingLoop(
        state=view.cache,
        records=view,
        tree=default_tree(),
        outlook=NoOutlook(),
        dispatcher=gate.link,
        journal=StoreJournal(store=store, audit=gate.audit_log, new_id=identify, log=log),
        clock=clock,
        new_id=identify,
        log=log,
    )
    telemetry.on_second(loop.hear)
    return loop
