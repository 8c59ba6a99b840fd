"""A tool's answer as a model can read it: short, and nothing of it lost. What is cut is had by its `more` handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, cast

import msgspec

from llm_layer.desk import Plain
from llm_layer.tools.log_templates import templates
from llm_layer.tools.quoting import quoted
from llm_layer.tools.series import in_short, thinned

ANSWER_CHARS_MAX: Final = 4_500
"""1,500 tokens: JSON with names and figures comes to three characters a token or more."""
TEXT_CHARS: Final = 400
_ROWS: Final = (60, 30, 20, 12, 8, 5, 3, 2, 1, 0)  # of each list, tried until all fits
PLOT_POINTS: Final = 60
LOGS: Final = frozenset({"log.list", "trace.list"})
SERIES: Final = frozenset({"metric.show", "metric.show-node"})
STEPS_S: Final = {"seconds": 1, "ten_seconds": 10}

_size: Final = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A series that an answer may show, by its name."""

    name: str
    step_s: int
    values: tuple[float | None, ...]


@dataclass(slots=True, kw_only=True)
class Shaped:
    """`rest` is what was cut, by the place it was cut from; the place stands where it was, as `more`."""

    data: object
    rest: dict[str, object] = field(default_factory=dict)
    plots: tuple[Drawn, ...] = ()


def shaped(operation: str, answer: Plain, handle: Callable[[], str]) -> Shaped:
    """handle: makes a new name for something that was cut."""
    plots: tuple[Drawn, ...] = ()
    told: Plain = answer
    if operation in SERIES:
        told, plots = _figures(answer)
    elif operation in LOGS:
        name = operation.partition(".")[0] + "s"
        rows = cast(list[Plain], answer.get(name, []))
        told = {"lines": len(rows), "templates": templates(rows), "silent": answer.get("silent", [])}
    cut = fitted(_counted(_pruned(quoted(told))), handle)
    cut.plots = plots
    return cut


def fitted(whole: object, handle: Callable[[], str], chars_max: int = ANSWER_CHARS_MAX) -> Shaped:
    """The same with lists and texts cut until it is short enough."""
    for rows in _ROWS:
        cut = Shaped(data=None)
        cut.data = _cut(whole, rows, TEXT_CHARS if rows > 2 else 120, handle, cut.rest)
        if len(_size(cut.data)) <= chars_max:
            return cut
    text = _size(whole).decode()  # no lists that could be cut, but very many members
    name = handle()
    return Shaped(data={"part": quoted(text[: chars_max - 200]), "more": name}, rest={name: text[chars_max - 200 :]})


def page(rest: object, handle: Callable[[], str]) -> Shaped:
    """What was cut, itself cut where it is too long. The rest of a text is no less quoted than its beginning."""
    if isinstance(rest, str):
        part, left = quoted(rest[: ANSWER_CHARS_MAX - 200]), rest[ANSWER_CHARS_MAX - 200 :]
        name = handle() if left else ""
        return Shaped(data={"part": part, **({"more": name} if left else {})}, rest={name: left} if left else {})
    return fitted(rest, handle)


def _cut(node: object, rows: int, chars: int, handle: Callable[[], str], rest: dict[str, object]) -> object:
    if isinstance(node, str) and len(node) > chars:
        name = handle()
        rest[name] = node[chars:]
        return f"{node[:chars]}… (more: {name})"
    if isinstance(node, dict):
        return {name: _cut(each, rows, chars, handle, rest) for name, each in node.items()}
    if not isinstance(node, list):
        return node
    shown = [_cut(each, rows, chars, handle, rest) for each in node[:rows]]
    if len(node) > rows:
        name = handle()
        rest[name] = node[rows:]
        shown.append({"more": name, "left": len(node) - rows})
    return shown


def _pruned(node: object) -> object:
    """Without members that say nothing."""
    if isinstance(node, dict):
        whole = {name: _pruned(each) for name, each in node.items()}
        return {name: each for name, each in whole.items() if each not in (None, "", [], {}, False)}
    return [_pruned(each) for each in node] if isinstance(node, list) else node


def _counted(node: object) -> object:
    """How long each list is stands beside it: a model counts badly."""
    if not isinstance(node, dict):
        return [_counted(each) for each in node] if isinstance(node, list) else node
    found: Plain = {}
    for name, each in node.items():
        if isinstance(each, list) and any(isinstance(row, dict) for row in each):
            found[f"{name}_count"] = len(each)
        found[name] = _counted(each)
    return found


def _figures(answer: Plain) -> tuple[Plain, tuple[Drawn, ...]]:
    """Each series in a few numbers, and as a plot."""
    told: Plain = {name: answer[name] for name in ("slice", "node", "silent") if name in answer}
    plots = []
    for window, step_s in STEPS_S.items():
        series = cast(Mapping[str, list[float | None]], answer.get(window, {}))
        known = {name: short for name, values in series.items() if (short := in_short(values, step_s)) is not None}
        told[f"each_{step_s}_s"] = known
        plots += [_drawn(name, step_s, series[name]) for name in known]
    told |= _by_node(answer)
    return told, tuple(plots)


def _by_node(answer: Plain) -> Plain:
    """Of the last minute on each node, to compare them."""
    nodes = cast(Mapping[str, Mapping[str, list[float | None]]], answer.get("nodes", {}))
    found = {node: {name: _level(values) for name, values in series.items()} for node, series in nodes.items()}
    return {"by_node_60_s": found} if found else {}


def _level(values: list[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return round(median(known), 3) if known else None


def _drawn(name: str, step_s: int, values: list[float | None]) -> Drawn:
    width = max(1, -(-len(values) // PLOT_POINTS))
    return Drawn(name=name, step_s=step_s * width, values=tuple(thinned(values, PLOT_POINTS)))
