"""What starts a playbook without a person, as rows to be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from playbooks.document.model import Mode, Triggers

TriggerKind = Literal["alert", "event", "schedule", "model"]


class Told(NamedTuple):
    kind: TriggerKind
    on: str
    lasts: str
    mode: Mode


def told_of(triggers: Triggers) -> Iterator[Told]:
    """In the order of the document, alerts first."""
    for alert in triggers.alert:
        labels = ", ".join(f"{name}={value}" for name, value in alert.match.items())
        yield Told("alert", labels, alert.for_, alert.mode)
    for event in triggers.event:
        condition = "" if event.when == "true" else f" when {event.when}"
        yield Told("event", f"{event.event}{condition}", "0s", event.mode)
    for schedule in triggers.schedule:
        yield Told("schedule", f"every {schedule.every}", "0s", schedule.mode)
    if triggers.model is not None:
        yield Told("model", "an AI agent", "0s", triggers.model.mode)
