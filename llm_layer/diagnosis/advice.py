"""What may help against a cause: an operation or a playbook, filled in; nothing of it is made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from llm_layer.diagnosis.changes import MADE, is_own_scaling, may_concern
from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.seen import Seen
from runtime.operations.queries.slices import ChangeRow, SliceRow

HELPED_BY_RESTART: Final = frozenset({"memory_grows", "pattern:permission", "pattern:certificate"})
"""Causes that instances carry with them since their start: memory that they hold, a secret that they have read."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    operation: str
    request: dict[str, object]
    why: str


def advice_on(seen: Seen, causes: Iterable[Finding]) -> Iterator[Advice]:
    """causes: those that stand by themselves, the likeliest first."""
    for cause in causes:
        kind, _, name = cause.root.partition(":")
        if kind == "slice":
            yield from _of_slice(seen, cause, name)
        elif cause.mechanism == "node_fault":
            why = f"its instances do their work well on other nodes than {name}"
            yield Advice(operation="node.drain", request={"node": name}, why=why)


def _of_slice(seen: Seen, cause: Finding, name: str) -> Iterator[Advice]:
    rows = seen.versions(name)
    if cause.mechanism == "recent_change":
        yield from _undoing(seen, name, rows)
    elif cause.mechanism in HELPED_BY_RESTART:
        yield _restart(name)
    elif cause.mechanism == "held_too_few":
        yield Advice(
            operation="controller.unpin", request={"slice": name}, why="the cluster then gives it what it needs"
        )
    elif cause.mechanism == "saturated":
        yield from _more(name, rows)
    elif cause.mechanism == "dependency_down" and not any(row.wanted for row in rows):
        yield from _some(name, rows)


def _undoing(seen: Seen, name: str, rows: tuple[SliceRow, ...]) -> Iterator[Advice]:
    """By the playbook for what the change did: its instances fail, its calls fail, or they are slow."""
    change = _newest(seen, name)
    if change is None:
        return
    if not any(row.wanted for row in rows):
        yield from _some(name, rows)
        return
    if change.operation != "blueprint.apply":
        return
    figures = seen.figures.get(name)
    if any(row.serving < row.wanted for row in rows):
        playbook = "activation-failed"
    elif figures is not None and figures.failing:
        playbook = "error-budget-burn"
    elif figures is not None and figures.growing and not figures.slow:
        yield _restart(name)
        return
    else:
        playbook = "latency-high"
    request: dict[str, object] = {"playbook": playbook, "params": {"slice": name}}
    yield Advice(operation="playbook.run", request=request, why=f"it began with {change.summary}")


def _restart(name: str) -> Advice:
    return Advice(operation="slice.restart", request={"slice": name}, why="what is new then takes none of it along")


def _newest(seen: Seen, name: str) -> ChangeRow | None:
    explained = seen.explained.get(name)
    changes = explained.changes if explained is not None else ()
    made = (each for each in changes if each.kind in MADE and not is_own_scaling(each))
    return next((each for each in made if may_concern(each, name)), None)


def _more(name: str, rows: tuple[SliceRow, ...]) -> Iterator[Advice]:
    """Half as many again, within its bounds."""
    for row in rows[:1]:
        wanted = min(row.max, row.wanted + max(1, row.wanted // 2))
        if wanted > row.wanted:
            request: dict[str, object] = {"slice": name, "instances": wanted}
            yield Advice(operation="slice.scale", request=request, why="more instances carry more calls")


def _some(name: str, rows: tuple[SliceRow, ...]) -> Iterator[Advice]:
    for row in rows[:1]:
        request: dict[str, object] = {"slice": name, "instances": max(2 if row.max > 1 else 1, row.min)}
        yield Advice(
            operation="slice.scale", request=request, why="others cannot do without it, and it has no instance"
        )
