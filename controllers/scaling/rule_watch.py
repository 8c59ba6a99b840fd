"""Operators' rules against what is seen of a slice: which of them have held for long enough."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

from controllers.context.snapshot import SliceContext
from controllers.scaling.model import OwnRules, StableRule
from controllers.scaling.own_rules import Condition, RuleSet, Signal

TREND_S: Final = 30  # that a trend looks back
TREND_PART_S: Final = 10  # its two ends are means of so many seconds
TREND_SHARE: Final = 0.05  # less is noise
MIB: Final = 2**20


def signals_of(load: SliceContext | None, serving: int) -> dict[Signal, float]:
    """What is known of them in this second; nothing where the figures cannot be used."""
    if load is None or load.rate is None or load.figures is None:
        return {}
    figures, each = load.figures, max(1, serving)
    found: dict[Signal, float | None] = {
        Signal.RATE: load.rate,
        Signal.RATE_EACH: load.rate / each,
        Signal.CPU: figures.cpu_s / each,
        Signal.MEMORY_MIB: figures.rss_bytes / MIB / each,
        Signal.LOOP_LAG_MS: figures.loop_lag_ms,
        Signal.GC_PAUSE_MS: figures.gc_pause_ms,
        Signal.LATENCY_P95_MS: load.latency_p95_ms,
        Signal.ERRORS_SHARE: figures.errors / figures.calls if figures.calls else None,
        Signal.WAITING: load.waiting,
        Signal.IDLE_S: load.idle_s,
    }
    return {signal: value for signal, value in found.items() if value is not None and math.isfinite(value)}


class RuleWatch:
    """One slice's: for how many seconds each rule has held."""

    def __init__(self) -> None:
        self._held_s: dict[str, int] = {}
        self._past: deque[Mapping[Signal, float]] = deque(maxlen=TREND_S)

    def take(self, rules: RuleSet | None, load: SliceContext | None, serving: int) -> OwnRules | None:
        """One second more. Those that are stable, in their order; None where there are no rules."""
        if rules is None:
            self._held_s.clear()
            self._past.clear()
            return None
        now = signals_of(load, serving)
        self._past.append(now)
        self._held_s = {
            rule.name: self._held_s.get(rule.name, 0) + 1
            for rule in rules.rules
            if all(self._holds(each, now) for each in rule.when)
        }
        stable = (rule for rule in rules.rules if self._held_s.get(rule.name, 0) >= rule.stable_for_s)
        return OwnRules(
            tree=rules.tree,
            stable=tuple(StableRule(name=rule.name, step=rule.step, cool_down_s=rule.cool_down_s) for rule in stable),
        )

    def _holds(self, condition: Condition, now: Mapping[Signal, float]) -> bool:
        value = now.get(condition.signal)
        if value is None:
            return False
        if condition.above is not None and value <= condition.above:
            return False
        if condition.below is not None and value >= condition.below:
            return False
        return condition.trend is None or condition.trend == self._trend(condition.signal)

    def _trend(self, signal: Signal) -> str:
        """Empty where it stays, and while the past is not known."""
        past = [seen[signal] for seen in self._past if signal in seen]
        if len(past) < TREND_S:
            return ""
        before, after = sum(past[:TREND_PART_S]), sum(past[-TREND_PART_S:])
        if after > before * (1 + TREND_SHARE):
            return "rising"
        return "falling" if after < before * (1 - TREND_SHARE) else ""
