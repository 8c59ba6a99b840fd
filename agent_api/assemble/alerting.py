"""Alerts, wired for the control process: figures of the state are published, and the leader watches and tells."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from runtime.clock import Clock
from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.leader_services import LeaderService
from runtime.cluster.membership import Lines
from runtime.config.settings import NodeSettings
from runtime.consensus.store import Store
from runtime.deployment.view import StateView
from runtime.telemetry.alerts.grouping import Notification
from runtime.telemetry.alerts.notifier import Notifier
from runtime.telemetry.alerts.records import Receiver
from runtime.telemetry.alerts.references import Secrets
from runtime.telemetry.alerts.state_figures import PUBLISHED, StateFigures
from runtime.telemetry.alerts.watch import AlertWatch
from runtime.telemetry.desk import TelemetryDesk

if TYPE_CHECKING:
    from runtime.telemetry.alerts.sending import Sender


class AlertParts:
    """`services` run while this node leads."""

    def __init__(
        self,
        *,
        layout: NodeLayout,
        identity: NodeIdentity,
        settings: NodeSettings,
        view: StateView,
        store: Store,
        telemetry: TelemetryDesk,
        clock: Clock,
        log: Lines,
    ) -> None:
        figures = StateFigures(
            state=view.cache,
            records=view,
            silent_s=telemetry.silent_s,
            store_members=telemetry.store_members,
            clock=clock,
        )
        telemetry.publish(PUBLISHED, figures)
        telemetry.on_second(figures.hear)
        watch = AlertWatch(store=store, state=view.cache, records=view, figures=telemetry, clock=clock)
        self.notifier = Notifier(
            store=store,
            state=view.cache,
            arrived=view.cache.wait_for,
            send=functools.partial(_send, layout, identity, settings, clock),
            clock=clock,
            log=log,
        )
        telemetry.show_alerts(self.notifier)
        self.services: tuple[LeaderService, ...] = (watch.run, self.notifier.run)


def _send(
    layout: NodeLayout,
    identity: NodeIdentity,
    settings: NodeSettings,
    clock: Clock,
    notification: Notification,
    receiver: Receiver,
) -> None:
    _sender(layout, identity, settings, clock).send(notification, receiver)


def _sender(layout: NodeLayout, identity: NodeIdentity, settings: NodeSettings, clock: Clock) -> Sender:
    """Made with the first notification: what it imports (SMTP, MIME) takes memory that most nodes never need."""
    from runtime.telemetry.alerts.sending import Sender

    return Sender(
        secrets=Secrets(layout.alert_secrets, os.environ),
        allowed=settings.alert_hosts_allowed,
        cluster=identity.cluster_id,
        clock=clock,
    )
