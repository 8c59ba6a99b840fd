"""What the gate knows of the moment: read from the store beside the plan, and compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from runtime.operations import subjects
from runtime.operations.actor import Actor
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value

RECENT_MAX: Final = 16  # of agents, and as many of others: those must not push out what limits agents
LIMITED_MAX: Final = 64  # subjects of one agent's change: each costs a comparison and a write of 512
WHY_CHARS_MAX: Final = 200


class RecentChange(msgspec.Struct, frozen=True, kw_only=True):
    at_unix_ms: int
    actor: str
    by_agent: bool
    operation: str
    direction: Literal["out", "in", "none"] = "none"
    took_back: bool = False
    """It only took starts back: nothing that served has stopped for it, so that it is no turn of what serves."""
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
    touched: int = 1
    """How many subjects it changes."""
    takes_back: bool = False
    """It is the inverse of the subject's newest change, by the same actor: as it was before, and no new opinion."""
    domains: tuple[str, ...] = ()
    """What the subject would take down with it: a node's zone, a slice's blueprint."""
    domain_busy: str = ""
    """Another agent's change in one of the domains that has not taken hold yet."""


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
    return tuple(found)


def recent_changes(state: PlanState, subject: str) -> tuple[RecentChange, ...]:
    raw = state.value(keys.recent(subject))
    return msgspec.json.decode(raw, type=RecentChanges).changes if raw is not None else ()


def is_newest_own(recent: tuple[RecentChange, ...], audit: str, actor: Actor) -> bool:
    """Nobody, the actor itself neither, has changed the subject since."""
    return bool(recent) and recent[-1].audit == audit and recent[-1].actor == actor.id


def with_change(before: tuple[RecentChange, ...], change: RecentChange) -> RecentChanges:
    """The newest of agents and the newest of others, in the order they were made."""
    kept = list(before)
    same = [each for each in kept if each.by_agent == change.by_agent]
    if len(same) >= RECENT_MAX:
        kept.remove(same[0])
    return RecentChanges(changes=(*kept, change))


def frozen_because(state: PlanState, touched_subjects: Iterable[str]) -> str:
    """A freeze of the whole cluster, of a subject, or of a blueprint of a slice."""
    held = _held(state, keys.FREEZES)
    for each in touched_subjects if held else ():
        for name in ("cluster", each, *(domains_of(state, each) if each.startswith("slice:") else ())):
            if name in held:
                return held[name] or "a change freeze"
    return ""


def incident_at(state: PlanState, touched_subjects: Iterable[str]) -> str:
    held = _held(state, keys.INCIDENTS)
    found = next((each for each in touched_subjects if each in held), None)
    return (held[found] or "an incident") if found is not None else ""


def _held(state: PlanState, prefix: str) -> dict[str, str]:
    """Why, by subject. Noted as the one key that every change of a freeze or incident writes: what a change touches may
    be more than a transaction compares."""
    state.get(keys.MARKS_TURN)
    return {item.key.removeprefix(prefix): _words(item.value) for item in state.all_items(prefix)}


def domains_of(state: PlanState, subject: str) -> tuple[str, ...]:
    """A slice has one for each blueprint that deploys a version of it. Which do changes with blueprints alone."""
    kind, _, name = subject.partition(":")
    if kind == "node" and (node := state.records.node(name)) is not None:
        return (f"zone:{node.zone}",)
    if kind == "slice":
        state.get(keys.BLUEPRINTS_TURN)
        found = {subjects.of_blueprint(each.blueprint): None for each in state.all_records.targets_of(name)}
        return tuple(found) or (subject,)
    return (subject,)


def busy_in(state: PlanState, domains: Iterable[str]) -> str:
    for domain in domains:
        raw = state.value(keys.agent_turn(domain))
        if raw is not None:
            return _words(raw) or "a change"
    return ""


def _words(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:WHY_CHARS_MAX]
