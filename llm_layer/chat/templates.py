"""Answers to questions, from typed answers of the cluster: a sentence, then a table or a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec

from controllers.model_budget.queries import ModelBudgetShown, WindowShown
from llm_layer.chat.events import Event, Plot, Table, Text
from llm_layer.desk import Plain
from llm_layer.diagnosis.figures import figures_of
from runtime.operations.operation import AnyQuery
from runtime.operations.queries.cluster import ClusterStatus
from runtime.operations.queries.slices import MetricShown, SliceShown

ROWS_MAX: Final = 20
CELL_CHARS_MAX: Final = 120
PLOT_POINTS: Final = 60
MICROS: Final = 1_000_000  # of a dollar
ROWS_CALLED: Final[Mapping[str, str]] = {  # where the answer calls them "items"
    "alert.list": "alerts",
    "alert.receivers": "receivers of alerts",
    "alert.routes": "routes of alerts",
    "alert.rules": "rules of alerts",
    "alert.silences": "silences",
    "audit.list": "records of the audit",
    "config.list": "settings",
    "controller.decisions": "decisions on scaling",
    "controller.forecast": "forecasts",
    "controller.status": "slices that are scaled",
    "conversation.list": "conversations",
    "freeze.list": "freezes",
    "incident.list": "incidents",
    "key.list": "keys",
    "lock.list": "locks",
    "operation.list": "operations",
    "phrase.list": "phrases",
    "principal.list": "principals",
    "proposal.diff": "differences",
    "proposal.list": "proposals",
    "run.list": "runs",
    "snapshot.list": "snapshots",
    "store.member-list": "members of the store",
    "ttm.models": "models",
}
_ABOUT: Final = frozenset({"revision", "stale", "next"})

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {  # of lists whose rows are wide
    "node.list": ("node", "state", "role", "zone", "instances", "cordoned"),
    "slice.list": ("slice", "version", "serving", "wanted", "min", "max", "failed"),
    "instance.list": ("slice", "node", "number", "version", "phase", "reason"),
    "proposal.list": ("id", "state", "summary", "approvers", "expires_unix_ms"),
    "audit.list": ("record.at_unix_ms", "record.actor.id", "record.kind", "record.summary", "record.reason"),
    "event.list": ("id", "event", "data"),
    "log.list": ("at", "level", "process", "event", "instance", "error"),
    "operation.list": ("name", "kind", "role", "summary"),
    "controller.decisions": ("at_unix_ms", "slice", "wanted", "reason", "id"),
}


def told(query: AnyQuery, answer: Plain, evidence: str) -> Iterator[Event]:
    """evidence: the id of the answer."""
    own = _OWN.get(query.name)
    if own is not None:
        yield from own(answer, (evidence,))
        return
    name, rows = _list_of(query, answer)
    if rows is None:
        yield from _members(query, answer, (evidence,))
        return
    words = f"{len(rows)} {name}" if rows else f"There are no {name}"
    yield Text(text=f"{words}{_when_old(answer)}.", evidence=(evidence,))
    if rows:
        yield _table(query.name, rows, (evidence,))


def _when_old(answer: Plain) -> str:
    return " (no leader is known; this may be old)" if answer.get("stale") else ""


def _list_of(query: AnyQuery, answer: Plain) -> tuple[str, list[Plain] | None]:
    """The one list of an answer, by its name; None where the answer is something else."""
    lists = [
        (each.encode_name, answer[each.encode_name])
        for each in msgspec.structs.fields(query.result)
        if isinstance(answer.get(each.encode_name), list)
    ]
    rows = [(name, value) for name, value in lists if name not in ("silent",)]
    if len(rows) != 1 or any(not isinstance(each, dict) for each in cast(list[object], rows[0][1])):
        return "", None
    return ROWS_CALLED.get(query.name, rows[0][0].replace("_", " ")), cast(list[Plain], rows[0][1])


def _table(operation: str, rows: Sequence[Plain], evidence: tuple[str, ...]) -> Table:
    known = COLUMNS.get(operation) or tuple(rows[0])
    columns = tuple(each for each in known if any(_at(row, each) not in (None, "", [], False) for row in rows))
    return Table(
        columns=tuple(each.removeprefix("record.") for each in columns),
        rows=tuple(tuple(_cell(_at(row, each)) for each in columns) for row in rows[:ROWS_MAX]),
        more=max(0, len(rows) - ROWS_MAX),
        evidence=evidence,
    )


def _at(row: object, path: str) -> object:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _cell(value: object) -> object:
    if isinstance(value, str | int | float | bool) or value is None:
        text = value if isinstance(value, str) else None
        return value if text is None or len(text) <= CELL_CHARS_MAX else f"{text[:CELL_CHARS_MAX]}…"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= CELL_CHARS_MAX else f"{text[:CELL_CHARS_MAX]}…"


def _members(query: AnyQuery, answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    rows = [
        (name, _cell(value)) for name, value in answer.items() if name not in _ABOUT and value not in (None, "", [])
    ]
    yield Text(text=f"{query.summary}{_when_old(answer)}", evidence=evidence)
    yield Table(
        columns=("what", "is"), rows=tuple(rows[:ROWS_MAX]), more=max(0, len(rows) - ROWS_MAX), evidence=evidence
    )


def _status(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    status = msgspec.convert(answer, ClusterStatus)
    down = [each.node for each in status.nodes if each.state == "down"]
    short = [each for each in status.slices if each.serving < each.wanted]
    words = [
        f"{len(status.nodes) - len(down)} of {len(status.nodes)} nodes are up"
        + (f", {', '.join(down)} down" if down else ""),
        f"{len(status.slices) - len(short)} of {len(status.slices)} slices serve all their instances",
        f"{status.load.requests_per_s:.1f} requests a second",
        f"{status.leader} leads" if status.leader else "nobody leads at the moment",
    ]
    yield Text(text=f"{'; '.join(words)}{_when_old(answer)}.", evidence=evidence)
    for each in short:
        why = f": {each.reasons[0]}" if each.reasons else ""
        yield Text(text=f"{each.slice} {each.version}: {each.serving} of {each.wanted} serve{why}", evidence=evidence)


def _slice(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    shown = msgspec.convert(answer, SliceShown)
    for row in shown.versions:
        bounds = f"bounds {row.min} to {row.max}"
        text = f"{row.slice} {row.version}: {row.serving} of {row.wanted} wanted instances serve ({bounds})"
        yield Text(text=text, evidence=evidence)
    for words, names in (("It requires", shown.requires), ("It is required by", shown.dependants)):
        if names:
            yield Text(text=f"{words} {', '.join(names)}.", evidence=evidence)
    if shown.instances:
        rows = cast(list[Plain], answer["instances"])
        yield _table("instance.list", rows, evidence)


def _metrics(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    shown = msgspec.convert(answer, MetricShown)
    now = figures_of(shown)
    if not now.calls:
        yield Text(text=f"Nobody calls {shown.slice} at the moment.", evidence=evidence)
    else:
        p95 = f", p95 {now.p95:.0f} ms" if now.p95 is not None else ""
        errors = f", {now.errors:.1%} errors" if now.errors is not None else ""
        yield Text(text=f"{shown.slice}: {now.calls:.1f} calls a second{p95}{errors}.", evidence=evidence)
    for name, unit in (("calls", "calls/s"), ("p95_ms", "ms")):
        values = shown.seconds.get(name, ())[-PLOT_POINTS * 5 :]
        if any(each is not None for each in values):
            yield Plot(name=name, unit=unit, step_s=5, values=_thinned(values), evidence=evidence)


def _thinned(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Means of five each."""
    found: list[float | None] = []
    for at in range(0, len(values), 5):
        known = [each for each in values[at : at + 5] if each is not None]
        found.append(round(sum(known) / len(known), 2) if known else None)
    return tuple(found)


def _policy(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    yield Text(text=str(answer.get("policy", answer.get("rules", ""))), evidence=evidence)


def _models(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    if not answer.get("wanted"):
        yield Text(text="No language model is configured: rules answer.", evidence=evidence)
        return
    rows = cast(list[Plain], answer.get("providers", []))
    names = ", ".join(cast(list[str], answer["wanted"]))
    untold = "" if rows else "; none has been asked yet"
    yield Text(text=f"Asked in this order: {names}{untold}.", evidence=evidence)
    if rows:
        yield _table("model.status", rows, evidence)


def _budget(answer: Plain, evidence: tuple[str, ...]) -> Iterator[Event]:
    """In dollars; a minute's is in tokens."""
    shown = msgspec.convert(answer, ModelBudgetShown)
    spent = sum(each.micros for each in shown.today) / MICROS
    cheap = "; the cheap models answer, as most of it is spent" if shown.cheap else ""
    yield Text(text=f"Language models have cost {spent:.2f} USD today{cheap}.", evidence=evidence)
    yield Table(
        columns=("window", "limit", "spent", "reserved", "unit"),
        rows=tuple(_window(each) for each in shown.windows),
        evidence=evidence,
    )


def _window(shown: WindowShown) -> tuple[object, ...]:
    by, unit = (1, "tokens") if shown.window == "minute" else (MICROS, "USD")
    return (shown.window, *(round(each / by, 4) for each in (shown.limit, shown.spent, shown.reserved)), unit)


_OWN: Final[Mapping[str, Callable[[Plain, tuple[str, ...]], Iterator[Event]]]] = {
    "cluster.status": _status,
    "slice.show": _slice,
    "metric.show": _metrics,
    "policy.show": _policy,
    "controller.rules": _policy,
    "model.status": _models,
    "model.budget": _budget,
}
