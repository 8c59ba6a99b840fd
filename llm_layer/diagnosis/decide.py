"""The diagnosis: who is unwell, who of them by itself, and why. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from llm_layer.diagnosis.advice import Advice, advice_on
from llm_layer.diagnosis.causes import causes_of
from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.nodes import node_findings
from llm_layer.diagnosis.on_nodes import one_node_findings
from llm_layer.diagnosis.seen import Seen
from llm_layer.diagnosis.symptoms import sources_of_trouble, unwell_slices
from runtime.operations import subjects
from runtime.operations.queries.alerts import AlertRow

SURE: Final = 0.87
"""From here on a finding explains by itself what is seen: a node that is down does not explain it away, and without
any slice that is unwell it says that something is."""
LOOKS_BACK: Final = frozenset(
    {"ErrorBudgetBurns", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", "ForecastOverCapacity", "BackupOld"}
)
"""Alerts on what was, or may be: they say nothing of now."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """`slice` is empty for the whole cluster. `findings`, the weightiest first: the first is the likeliest cause;
    `roots` names each cause that stands by itself. `well` where nothing is out of the ordinary. `advice` may help.
    `tainted`: one of them tells words that anybody may have written."""

    slice: str
    well: bool
    symptoms: str
    findings: tuple[Finding, ...]
    gaps: tuple[str, ...]
    tainted: bool
    roots: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()


def diagnose(seen: Seen) -> Diagnosis:
    nodes = node_findings(seen)
    on_one = one_node_findings(seen)
    sources = [each for each in sources_of_trouble(seen) if not _stands_on(seen, each, on_one)]
    by_source = [found for name in sources if (found := causes_of(seen, name))]
    told = {subjects.of_slice(each) for each in (*unwell_slices(seen), *on_one)}
    alerts = list(_alerts(seen, told))
    unwell = bool(sources or alerts or on_one) or any(each.weight >= SURE for each in nodes)
    groups = _groups(nodes, list(on_one.values()), by_source, alerts) if unwell else []
    findings = sorted((each for group in groups for each in group), key=lambda each: -each.weight)
    own = seen.figures.get(seen.slice)
    silent = own is None or not own.calls
    gap = (f"nobody calls {seen.slice}, so it has no latency",) if seen.slice and silent else ()
    return Diagnosis(
        slice=seen.slice,
        well=not unwell,
        symptoms=own.in_words() if own is not None else "",
        findings=tuple(findings),
        gaps=(*seen.gaps, *gap),
        tainted=any(each.foreign for each in findings),
        roots=tuple(dict.fromkeys(group[0].root for group in groups)),
        advice=tuple(advice_on(seen, [group[0] for group in groups])),
    )


def _stands_on(seen: Seen, name: str, others: Collection[str]) -> bool:
    """Whether it is one of these, or calls one."""
    return any(each in others for each in (name, *seen.behind(name)))


def _groups(
    nodes: Sequence[Finding],
    on_one: Sequence[Finding],
    by_source: Sequence[list[Finding]],
    alerts: Sequence[Finding],
) -> list[list[Finding]]:
    """Findings by what they explain, each group's likeliest first. A node that is down or silent explains slices that
    are unwell without a sure cause of their own."""
    broken = [each for each in nodes if each.weight >= SURE]
    late = [each for each in nodes if each.weight < SURE]
    partly = [[each] for each in on_one if each.root not in _roots(broken)]
    if broken:
        own = [[each] for each in broken] + partly
        return own + [group for group in by_source if group[0].weight >= SURE and group[0].root not in _roots(broken)]
    groups = partly + [list(group) for group in by_source]
    groups += [[each] for each in alerts if each.root not in _roots(group[0] for group in groups)]
    if groups and late:
        groups[0] = sorted([*groups[0], *late], key=lambda each: -each.weight)
    return groups


def _roots(findings: Iterable[Finding]) -> set[str]:
    return {each.root for each in findings}


def _alerts(seen: Seen, told: set[str]) -> Iterator[Finding]:
    """Critical ones that last, about what is asked. told: subjects that are found to be unwell anyway."""
    for each in seen.alerts:
        if each.severity != "critical" or each.name in LOOKS_BACK or each.subject in told or not _concerns(seen, each):
            continue
        says = f"alert {each.name}: {each.annotations.get('summary', '')}"
        yield Finding(
            mechanism=f"alert:{each.name}",
            root=each.subject,
            says=says,
            weight=0.5,
            evidence=seen.cited("alerts"),
            foreign=each.origin == "external",
        )


def _concerns(seen: Seen, alert: AlertRow) -> bool:
    return not seen.slice or alert.labels.get("slice") == seen.slice
