"""What the gate knows of the moment: read from the store beside the plan, and compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from runtime.operations import subjects
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value

RECENT_MAX: Final = 16  # of agents, and as many of others: those must not push out what limits agents
TOUCHED_MAX: Final = 64  # subjects that are looked at one by one: each costs three comparisons of 512
WHY_CHARS_MAX: Final = 200


class RecentChange(msgspec.Struct, frozen=True, kw_only=True):
    at_unix_ms: int
    actor: str
    by_agent: bool
    operation: str
    direction: Literal["out", "in", "none"] = "none"
    audit: str = ""
    """The id of its audit record."""


class RecentChanges(Value, frozen=True, kw_only=True):
    """The newest changes of one subject: written with each of them, so that no two are judged by the same past."""

    changes: tuple[RecentChange, ...] = ()


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    now_unix_ms: int
    recent: dict[str, tuple[RecentChange, ...]] = {}
    """By subject: of the plan's own, and for agents of everything else that it changes."""
    frozen: str = ""
    """Why no changes are wanted now; empty while they are."""
    incident: str = ""
    """What goes wrong at the subject; empty when nothing does."""
    tainted: bool = False
    pending: int = 0
    """Other proposals of the same requester that wait."""
    domain: str = ""
    """What the subject would take down with it: a node's zone, a slice's blueprint."""
    domain_busy: str = ""
    """Another agent's change in that domain that has not taken hold yet."""


def touched(plan: Plan) -> tuple[str, ...]:
    """The plan's subject, and every slice and node whose records it changes."""
    found = {plan.subject: None}
    for change in plan.changes:
        kind, _, rest = change.key.partition("/")
        names = rest.split("/")
        if kind == "slice-target":
            found[subjects.of_slice(names[0])] = None
        elif kind == "instance" and len(names) == 3:
            found[subjects.of_slice(names[1])] = None
        elif kind == "node":
            found[subjects.of_node(names[0])] = None
    return tuple(found)[:TOUCHED_MAX]


def recent_changes(state: PlanState, subject: str) -> tuple[RecentChange, ...]:
    raw = state.value(keys.recent(subject))
    return msgspec.json.decode(raw, type=RecentChanges).changes if raw is not None else ()


def with_change(before: tuple[RecentChange, ...], change: RecentChange) -> RecentChanges:
    """The newest of agents and the newest of others, in the order they were made."""
    kept = list(before)
    same = [each for each in kept if each.by_agent == change.by_agent]
    if len(same) >= RECENT_MAX:
        kept.remove(same[0])
    return RecentChanges(changes=(*kept, change))


def frozen_because(state: PlanState, touched_subjects: Iterable[str]) -> str:
    """A freeze of the whole cluster, of a subject, or of the blueprint of a slice."""
    names = {"cluster": None}
    for each in touched_subjects:
        names[each] = None
        if each.startswith("slice:"):
            names[domain_of(state, each)] = None
    for name in names:
        raw = state.value(f"{keys.FREEZES}{name}")
        if raw is not None:
            return _words(raw) or "a change freeze"
    return ""


def incident_at(state: PlanState, touched_subjects: Iterable[str]) -> str:
    for each in touched_subjects:
        raw = state.value(f"{keys.INCIDENTS}{each}")
        if raw is not None:
            return _words(raw) or "an incident"
    return ""


def domain_of(state: PlanState, subject: str) -> str:
    kind, _, name = subject.partition(":")
    if kind == "node" and (node := state.all_records.node(name)) is not None:
        return f"zone:{node.zone}"
    if kind == "slice" and (targets := state.all_records.targets_of(name)):
        return f"blueprint:{targets[0].blueprint}"
    return subject


def busy_in(state: PlanState, domain: str) -> str:
    raw = state.value(keys.agent_turn(domain))
    return _words(raw) or "a change" if raw is not None else ""


def _words(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:WHY_CHARS_MAX]
