"""Why one slice is unwell by itself: what was changed, what its failures say, where they are, what it lacks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from llm_layer.diagnosis.changes import CHANGES_NOTHING, EARLY_MS, MADE, TAKES_HOLD_MS, is_own_scaling, is_suspect
from llm_layer.diagnosis.figures import Figures
from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.patterns import patterns_in
from llm_layer.diagnosis.seen import Seen, Span
from llm_layer.diagnosis.symptoms import is_short
from runtime.operations import subjects
from runtime.operations.queries.slices import ChangeRow, InstanceRow, SliceRow

RECENT_MS: Final = 30 * 60_000
JUST_NOW_MS: Final = 10 * 60_000
LATE_MS: Final = 5_000  # by so much figures may tell of a failure later than its own line
HOPS_MIN: Final = 5
GOOD_MIN: Final = 3  # calls that went well elsewhere: instances that nobody calls prove nothing
ONE_NODE: Final = 0.9  # of what is bad, on one node, makes it that node's


def causes_of(seen: Seen, name: str) -> list[Finding]:
    """The weightiest first; at least one."""
    found = [
        *_not_running(seen, name),
        *_change(seen, name),
        *_one_node(seen, name),
        *_words(seen, name),
        *_saturation(seen, name),
        *_memory(seen, name),
        *_itself(seen, name),
    ]
    return sorted(found, key=lambda each: -each.weight)


def _of_slice(
    seen: Seen, name: str, mechanism: str, says: str, weight: float, *sources: str, foreign: bool = False
) -> Finding:
    return Finding(
        mechanism=mechanism,
        root=subjects.of_slice(name),
        says=says,
        weight=weight,
        evidence=seen.cited(*sources),
        foreign=foreign,
    )


def _not_running(seen: Seen, name: str) -> Iterator[Finding]:
    """Instances that do not serve, and what they wait for."""
    found = partial(_of_slice, seen, name)
    rows = seen.versions(name)
    if name != seen.slice and not any(row.serving for row in rows):
        who = seen.slice or "others"
        says = f"{name}, which {who} cannot do without, has no instance that serves"
        yield found("dependency_down", says, 0.84, f"explain:{name}", "status")
    for row in rows:
        if row.serving >= row.wanted:
            continue
        why = f": {row.reasons[0]}" if row.reasons else ""
        says = f"{row.serving} of {row.wanted} wanted instances of {row.slice} {row.version} serve{why}"
        if _nowhere(seen, name, row):
            shut = [each.node for each in seen.status.nodes if each.cordoned] if seen.status is not None else []
            why = f"; {', '.join(shut)} take nothing new" if shut else ""
            yield found("no_room", f"{says}: no node takes the others{why}", 0.92, f"explain:{name}", "status")
        else:
            mechanism = "nothing_serves" if row.serving == 0 else "not_enough_instances"
            weight = 0.7 if row.serving == 0 else 0.6
            foreign = bool(row.failed and row.reasons)
            yield found(mechanism, says, weight, f"explain:{name}", "status", foreign=foreign)


def _nowhere(seen: Seen, name: str, row: SliceRow) -> bool:
    """Whether instances are wanted that no node has been given, and not because they failed."""
    explained = seen.explained.get(name)
    if explained is None or row.failed:
        return False
    given = sum(each.version == row.version for each in explained.instances)
    return row.serving + given < row.wanted


def _change(seen: Seen, name: str) -> Iterator[Finding]:
    """The newest change that it began with; or the newest of the last half hour, where nobody knows when it began."""
    explained = seen.explained.get(name)
    suspects = [each for each in explained.changes if is_suspect(each, name)] if explained is not None else []
    figures = seen.figures.get(name)
    short = figures is not None and not figures.failing and (figures.slow or figures.refusing)
    told = [each for each in suspects if short or not is_own_scaling(each)]
    newest = next((each for each in told if seen.now_unix_ms - each.at_unix_ms <= RECENT_MS), None)
    if newest is None:
        return
    weight = min(_weight_of(seen, name, newest), 0.5 if is_own_scaling(newest) else 1.0)
    age_min = max(1, (seen.now_unix_ms - newest.at_unix_ms) // 60_000)
    says = f"{age_min} min ago: {newest.summary}, by {newest.actor} (audit {newest.audit})"
    if weight:
        yield _of_slice(seen, name, "recent_change", says, weight, f"explain:{name}")


def _weight_of(seen: Seen, name: str, change: ChangeRow) -> float:
    """0 for one that came after the trouble, which it cannot have caused."""
    age_ms = seen.now_unix_ms - change.at_unix_ms
    figures = seen.figures.get(name)
    short = is_short(seen, name)
    if short or figures is None or figures.since_s is None:
        measured = figures is not None and figures.growing and not short  # nobody knows since when, but that it does
        fresh = age_ms <= JUST_NOW_MS and not _begun_anew_since(seen, name, change)
        return 0.88 if fresh and not measured else 0.45
    before_ms = age_ms - figures.since_s * 1_000
    if before_ms < -EARLY_MS:
        return 0.0
    return 0.9 if before_ms <= TAKES_HOLD_MS else 0.4


def _begun_anew_since(seen: Seen, name: str, change: ChangeRow) -> bool:
    """Whether instances were restarted after the change, which they had outlived until then."""
    return any(
        each.operation in CHANGES_NOTHING and each.at_unix_ms > change.at_unix_ms
        for each in seen.explained[name].changes
        if each.kind in MADE
    )


def _one_node(seen: Seen, name: str) -> Iterator[Finding]:
    """Whether what fails or is slow is on one node, while others do the same work well."""
    rows = seen.instances.get(name, ())
    failing = [each for each in rows if each.phase == "failed"]
    nodes = {each.node for each in failing}
    if len(nodes) == 1 and _begun_elsewhere(rows, failing):
        node = nodes.pop()
        says = f"all {len(failing)} instances of {name} that fail are on node {node}, and others begin well elsewhere"
        yield _of_node(seen, node, says, 0.82, f"instances:{name}")
        return
    figures = seen.figures.get(name)
    hops = _hops_since(seen, name, figures)
    bound_us = figures.p95_bound * 1_000 if figures is not None and figures.p95_bound is not None else None
    for what, bad in (
        ("fail", [each for each in hops if each.failed]),
        ("are slow", [each for each in hops if bound_us is not None and each.duration_us >= bound_us]),
    ):
        node = _mostly_on(bad)
        elsewhere = [each for each in hops if each.node != node and each not in bad]
        if node and len(elsewhere) >= GOOD_MIN:
            says = f"{len(bad)} calls of {name} {what} within the last minute, nearly all on node {node}"
            yield _of_node(seen, node, says, 0.86, f"spans:{name}", "topology")
            return


def _began_ms(seen: Seen, figures: Figures | None) -> int:
    """When the trouble began, as exactly as figures of whole seconds tell; 0 where nobody knows. What was before says
    nothing of it."""
    since_s = figures.since_s if figures is not None else None
    return seen.now_unix_ms - since_s * 1_000 if since_s is not None else 0


def _hops_since(seen: Seen, name: str, figures: Figures | None) -> list[Span]:
    """Those of its instances since the trouble began: what went well before says nothing of other nodes."""
    since_ms = _began_ms(seen, figures)
    return [each for each in seen.hops.get(name, ()) if each.process.startswith("w-") and each.at_ms >= since_ms]


def _begun_elsewhere(rows: Sequence[InstanceRow], failing: Sequence[InstanceRow]) -> bool:
    """Whether an instance that was begun as late as those that fail serves on another node. An older one proves
    nothing: it has not been tried."""
    newest = max(each.generation for each in failing)
    nodes = {each.node for each in failing}
    return any(each.serving and each.node not in nodes and each.generation >= newest for each in rows)


def _mostly_on(bad: Sequence[Span]) -> str:
    """The node, or none."""
    if len(bad) < HOPS_MIN:
        return ""
    node, count = Counter(each.node for each in bad).most_common(1)[0]
    return node if count >= ONE_NODE * len(bad) else ""


def _of_node(seen: Seen, node: str, says: str, weight: float, *sources: str) -> Finding:
    return Finding(
        mechanism="node_fault", root=subjects.of_node(node), says=says, weight=weight, evidence=seen.cited(*sources)
    )


def _words(seen: Seen, name: str) -> Iterator[Finding]:
    """Words of failed instances weigh more than lines, which the slice itself wrote."""
    explained = seen.explained.get(name)
    rows = explained.instances if explained is not None else ()
    failures = [text for each in rows for text in (each.reason, each.last_failure) if text]
    figures = seen.figures.get(name)
    fails = figures is not None and figures.failing
    lines = list(seen.lines_of(name, _began_ms(seen, figures) - LATE_MS)) if fails else []
    for source, texts, weight in ((f"explain:{name}", failures, 0.8), ("logs", lines, 0.74)):
        for pattern, words, count in patterns_in(texts)[:2]:
            whose = "instances" if source != "logs" else "error lines"
            says = f"{words}: {count} of the {whose} of {name} say so"
            yield _of_slice(seen, name, f"pattern:{pattern}", says, weight, source, foreign=True)


def _saturation(seen: Seen, name: str) -> Iterator[Finding]:
    """More calls than its instances carry."""
    figures = seen.figures.get(name)
    if figures is None or not (figures.refusing or (figures.slow and figures.loaded)):
        return
    says = f"{name} gets more calls than its instances carry: {figures.in_words()}"
    if name in seen.pins:
        says += f"; somebody holds it at {seen.pins[name]} instances"
        yield _of_slice(seen, name, "held_too_few", says, 0.94, f"metric:{name}", "scaling")
        return
    most = next((row.max for row in seen.versions(name) if row.wanted >= row.max > 0), None)
    bound = f"; it has its {most} instances at most" if most is not None else ""
    yield _of_slice(seen, name, "saturated", says + bound, 0.78, f"metric:{name}", "status")


def _memory(seen: Seen, name: str) -> Iterator[Finding]:
    figures = seen.figures.get(name)
    if figures is not None and figures.growing:
        says = f"{name} takes more and more memory: {figures.in_words()}"
        yield _of_slice(seen, name, "memory_grows", says, 0.8, f"metric:{name}")


def _itself(seen: Seen, name: str) -> Iterator[Finding]:
    """Where nothing else is known: that it is this slice, and none of those that it stands on."""
    figures = seen.figures.get(name)
    if figures is None or not (figures.slow or figures.failing):
        return
    if name != seen.slice:
        mechanism = "dependency_errors" if figures.failing else "dependency_slow"
        who = f", which {seen.slice} stands on," if seen.slice else ""
        says = f"{name}{who} is unwell by itself: {figures.in_words()}"
    else:
        mechanism = "fails_itself" if figures.failing else "slow_itself"
        says = f"it is {name} itself, as all that it stands on is well: {figures.in_words()}"
    yield _of_slice(seen, name, mechanism, says, 0.55, f"metric:{name}", "topology")
