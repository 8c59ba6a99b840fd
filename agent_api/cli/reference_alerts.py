"""docs/reference/alerts.md: metrics and built-in rules, from what declares them."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.telemetry.alerts.builtin import BUILTIN
from runtime.telemetry.alerts.metrics import METRICS
from runtime.telemetry.alerts.records import AlertRule, Severity


def alerts_page() -> str:
    rows = "\n".join(_metrics())
    rules = "\n".join(_rule(name, rule) for name, rule in sorted(BUILTIN.items()))
    return (
        "# Metrics and rules of alerts\n\n"
        "Made from `runtime/telemetry/alerts` by `aether docs`. How to use them: [alerts](../guides/alerts.md).\n\n"
        "## Metrics\n\n"
        "| of a | metric | what it is |\n"
        "| --- | --- | --- |\n"
        f"{rows}\n\n"
        "A figure that is not known is beyond no bound.\n\n"
        "## Built-in rules\n\n"
        "In brackets: the bound behind which the alert ends, where it is another. `begins` and `ends` are seconds\n"
        "beyond and behind these bounds.\n\n"
        "| rule | of a | metric | | warning | critical | begins | ends |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"{rules}\n"
    )


def _metrics() -> Iterator[str]:
    for kind, metrics in METRICS.items():
        for name, metric in metrics.items():
            yield f"| {kind} | `{name}` | {metric.summary} |"


def _rule(name: str, rule: AlertRule) -> str:
    metrics = " and ".join(f"`{each}`" for each in (rule.metric, *rule.also))
    bounds = f"{_bound(rule, 'warning')} | {_bound(rule, 'critical')}"
    return f"| {name} | {rule.kind} | {metrics} | {rule.direction} | {bounds} | {rule.for_s} | {rule.ends_after_s} |"


def _bound(rule: AlertRule, severity: Severity) -> str:
    bound, end = rule.bound(severity), rule.bound_of_end(severity)
    if bound is None:
        return ""
    return f"{bound:g}" if end == bound else f"{bound:g} ({end:g})"
