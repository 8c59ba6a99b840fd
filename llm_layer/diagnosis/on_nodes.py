"""Slices that are slow or fail on one node alone, while the same calls go well on others at the same time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from llm_layer.diagnosis.changes import EARLY_MS, TAKES_HOLD_MS, is_suspect
from llm_layer.diagnosis.figures import NOW_S, Figures
from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.seen import Seen
from runtime.operations import subjects
from runtime.operations.queries.page import Series

CALLS_MIN: Final = 5.0  # in the time that counts as now, on each node that is compared
WORSE: Final = 3.0
"""How many times slower than the slowest of the others a node must be: what all have, its noise too, is no node's."""
MORE_MS: Final = 50.0  # of what takes less than one, three times as much is nothing
FAILING_SHARE: Final = 0.1
LATELY_MIN: Final = 2.0  # calls in the newest seconds
JUST_NOW_S: Final = 5
"""Of these seconds all must be bad where most of those that count as now are good still: it has just begun."""
WEIGHT: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """One slice on one node, now: p95 in milliseconds, its median and the least of the newest seconds; errors as a
    share of its calls. `p95_worst` and `errors_worst` are what it is at worst, of now and of the newest seconds alone:
    what has just begun everywhere shows a second sooner on one node than on another. `seconds`: (p95, share of errors)
    of each of the last minute, None where there was no call."""

    calls: float
    p95: float | None
    p95_least: float
    p95_worst: float | None
    errors: float
    errors_worst: float
    seconds: tuple[tuple[float, float] | None, ...]

    def since_ms(self, *, slow: float, failing: float) -> int:
        """For how long it has been as slow, or has failed as much."""
        lasted = 0
        for back, each in enumerate(reversed(self.seconds), start=1):
            if each is not None and not (each[0] >= slow or each[1] >= failing):
                break
            lasted = back
        return lasted * 1_000


def on_nodes(nodes: Mapping[str, Series]) -> dict[str, OnNode]:
    """Of nodes with enough calls to be compared, also in the newest seconds: what was called before is of before."""
    found = {}
    for node, series in nodes.items():
        calls, errors = (sum(_known(series, name)) for name in ("calls", "errors"))
        p95, lately = _known(series, "p95_ms"), _share(series, JUST_NOW_S)
        if calls >= CALLS_MIN and sum(_known(series, "calls")[-JUST_NOW_S:]) >= LATELY_MIN:
            found[node] = OnNode(
                calls=calls,
                p95=median(p95) if p95 else None,
                p95_least=min(p95[-JUST_NOW_S:]) if len(p95) >= JUST_NOW_S else 0.0,
                p95_worst=max(median(p95), median(p95[-JUST_NOW_S:])) if p95 else None,
                errors=errors / calls,
                errors_worst=max(errors / calls, lately),
                seconds=tuple(_seconds(series)),
            )
    return found


def one_node_findings(seen: Seen) -> dict[str, Finding]:
    """By slice."""
    found = {}
    for name, figures in seen.figures.items():
        told = next(_told(name, figures, on_nodes(seen.by_node.get(name, {}))), None)
        if told is not None and not _changes_now(seen, name, told[2]):
            node, says, _ = told
            evidence = seen.cited(f"metric:{name}", "topology")
            found[name] = Finding(
                mechanism="node_fault", root=subjects.of_node(node), says=says, weight=WEIGHT, evidence=evidence
            )
    return found


def _changes_now(seen: Seen, name: str, since_ms: int) -> bool:
    """Whether it began as the slice, or one behind it, was changed: nodes get a change one after the other, and differ
    by it until then."""
    for each in (name, *seen.behind(name)):
        explained = seen.explained.get(each)
        changes = explained.changes if explained is not None else ()
        ages_ms = (seen.now_unix_ms - change.at_unix_ms for change in changes if is_suspect(change, each))
        if any(-EARLY_MS <= age_ms - since_ms <= TAKES_HOLD_MS for age_ms in ages_ms):
            return True
    return False


def _told(name: str, figures: Figures, nodes: Mapping[str, OnNode]) -> Iterator[tuple[str, str, int]]:
    """The node, what is wrong there, and for how long it has been, in milliseconds."""
    for node, here in nodes.items():
        others = [each for other, each in nodes.items() if other != node]
        if not others:
            return
        worst = max(each.errors_worst for each in others)
        if here.errors >= FAILING_SHARE and here.errors >= WORSE * worst:
            says = f"{here.errors:.0%} of the calls of {name} fail on node {node}, {worst:.0%} elsewhere"
            yield node, says, here.since_ms(slow=math.inf, failing=FAILING_SHARE)
        slowest = max((each.p95_worst for each in others if each.p95_worst is not None), default=None)
        if slowest is None or here.p95 is None or figures.p95_bound is None:
            continue
        bound, took = max(figures.p95_bound, WORSE * slowest, slowest + MORE_MS), max(here.p95, here.p95_least)
        if took >= bound:
            says = f"{name} takes {took:.0f} ms on node {node} (p95), {slowest:.0f} ms elsewhere"
            yield node, says, here.since_ms(slow=bound, failing=math.inf)


def _seconds(series: Series) -> Iterator[tuple[float, float] | None]:
    for calls, errors, p95 in zip(*(series.get(each, ()) for each in ("calls", "errors", "p95_ms")), strict=False):
        yield (p95 or 0.0, (errors or 0.0) / calls) if calls else None


def _share(series: Series, seconds: int) -> float:
    """Of errors, in the newest seconds."""
    calls, errors = (sum(_known(series, name)[-seconds:]) for name in ("calls", "errors"))
    return errors / calls if calls else 0.0


def _known(series: Series, name: str) -> list[float]:
    return [each for each in series.get(name, ())[-NOW_S:] if each is not None]
