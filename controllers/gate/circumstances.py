"""What the gate knows of the moment: read from the store beside the plan, and compared with it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value

RECENT_MAX: Final = 16


class RecentChange(msgspec.Struct, frozen=True, kw_only=True):
    at_unix_ms: int
    actor: str
    by_agent: bool
    operation: str
    direction: Literal["out", "in", "none"] = "none"


class RecentChanges(Value, frozen=True, kw_only=True):
    """The newest changes of one subject: written with each of them, so that no two are judged by the same past."""

    changes: tuple[RecentChange, ...] = ()


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    now_unix_ms: int
    recent: tuple[RecentChange, ...] = ()
    frozen: str = ""
    """Why no changes are wanted now; empty while they are."""
    incident: str = ""
    """What goes wrong at the subject; empty when nothing does."""
    tainted: bool = False
    pending: int = 0
    """Proposals of the same requester that wait."""
    domain: str = ""
    """What the subject would take down with it: a node's zone, a slice's blueprint."""
    domain_busy: str = ""
    """Another agent's change in that domain that has not taken hold yet."""


def recent_changes(state: PlanState, subject: str) -> tuple[RecentChange, ...]:
    raw = state.value(keys.recent(subject))
    return msgspec.json.decode(raw, type=RecentChanges).changes if raw is not None else ()


def frozen_because(state: PlanState, subject: str) -> str:
    """A freeze of the whole cluster or of the subject."""
    for key in (f"{keys.FREEZES}cluster", f"{keys.FREEZES}{subject}"):
        raw = state.value(key)
        if raw is not None:
            return raw.decode("utf-8", "replace") or "a change freeze"
    return ""


def incident_at(state: PlanState, subject: str) -> str:
    raw = state.value(f"{keys.INCIDENTS}{subject}")
    return raw.decode("utf-8", "replace") if raw is not None else ""


def domain_of(state: PlanState, subject: str) -> str:
    kind, _, name = subject.partition(":")
    if kind == "node" and (node := state.all_records.node(name)) is not None:
        return f"zone:{node.zone}"
    if kind == "slice" and (targets := state.all_records.targets_of(name)):
        return f"blueprint:{targets[0].blueprint}"
    return subject


def busy_in(state: PlanState, domain: str) -> str:
    raw = state.value(keys.agent_turn(domain))
    return raw.decode("utf-8", "replace") if raw is not None else ""
