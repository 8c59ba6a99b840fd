"""The rules in force: the built-in ones, what the store says instead, and thresholds of single slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from runtime.consensus.store import KeyValue
from runtime.state import keys
from runtime.state.values import AlertThreshold, decode
from runtime.telemetry.alerts.builtin import BUILTIN, THRESHOLD
from runtime.telemetry.alerts.figures import kind_of
from runtime.telemetry.alerts.records import AlertRule

ANY: Final = "*"
"""In a rule's key, where another one names its only subject."""


class Reads(Protocol):
    def items(self, prefix: str) -> list[KeyValue]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRule:
    """`subject` is the only one that it is for; empty for all of its kind."""

    name: str
    subject: str
    rule: AlertRule


class RuleBook:
    """What holds for each subject: a rule of its own goes before the one for all."""

    def __init__(self, rules: Iterable[NamedRule]) -> None:
        self.rules = tuple(rules)
        self._general: dict[str, list[NamedRule]] = {}
        self._own: dict[str, list[NamedRule]] = {}
        for each in self.rules:
            if each.subject:
                self._own.setdefault(each.subject, []).append(each)
            else:
                self._general.setdefault(each.rule.kind, []).append(each)

    def of(self, subject: str) -> list[NamedRule]:
        """Those that are switched on."""
        general, own = self._general.get(kind_of(subject), []), self._own.get(subject, [])
        named = {each.name for each in own}
        return [each for each in (*(each for each in general if each.name not in named), *own) if each.rule.enabled]


def rule_book(state: Reads) -> RuleBook:
    """What cannot be read, of a newer version, is left out: the built-in rule of that name holds."""
    found = {(name, ""): rule for name, rule in BUILTIN.items()}
    for item in state.items(keys.ALERT_RULES):
        name, subject = keys.parts(item.key)
        try:
            found[name, "" if subject == ANY else subject] = decode(item.value, AlertRule)
        except msgspec.DecodeError:
            continue
    rules = [NamedRule(name=name, subject=subject, rule=rule) for (name, subject), rule in sorted(found.items())]
    return RuleBook((*rules, *_thresholds(state)))


def _thresholds(state: Reads) -> Iterator[NamedRule]:
    for item in state.items(keys.ALERT_THRESHOLDS):
        slice_name, metric = keys.parts(item.key)
        try:
            threshold = decode(item.value, AlertThreshold)
        except msgspec.DecodeError:
            continue
        yield NamedRule(name=THRESHOLD, subject=f"slice:{slice_name}", rule=rule_of_threshold(metric, threshold))


def rule_of_threshold(metric: str, threshold: AlertThreshold) -> AlertRule:
    return AlertRule(
        kind="slice",
        metric=metric,
        warning=threshold.bound,
        for_s=threshold.for_s,
        ends_after_s=threshold.for_s,
        summary=f"{metric} of {{subject}} is {{value}}, above {{bound}}",
        labels={"metric": metric},
    )
