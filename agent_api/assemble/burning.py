"""Slices that use up their error budget while no playbook is there for it: then the third scaling layer is asked."""

from __future__ import annotations

from typing import Final

from playbooks.proof import is_proven
from playbooks.records import newest
from playbooks.triggers.decide import Active, SeenAlert, Start, for_alerts
from playbooks.triggers.seen import seen_alerts
from runtime.clock import Clock
from runtime.deployment.records import Snapshot
from runtime.state import keys

BURNS: Final = frozenset({"ErrorBudgetBurns", "ErrorBudgetBurnsFast"})


class UnattendedBurns:
    """Called for their names."""

    def __init__(self, state: Snapshot, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def __call__(self) -> frozenset[str]:
        now_ms = self._clock.unix_ms()
        burning = [each for each in seen_alerts(self._state, now_ms) if each.labels.get("alertname") in BURNS]
        if not burning:
            return frozenset()
        attended = {start.trigger["alert"] for start in self._starts(burning, now_ms)}
        return frozenset(each.labels.get("slice", "") for each in burning if each.key not in attended)

    def _starts(self, burning: list[SeenAlert], now_ms: int) -> list[Start]:
        """Of playbooks that one of these alerts starts, or has started."""
        active = [
            Active(source=each.source, proven=is_proven(self._state, each.source.sha256))
            for each in newest(self._state)
            if each.source.document.trigger.alert
        ]
        found = for_alerts(active, burning, nodes=len(self._state.items(keys.NODES)), now_unix_ms=now_ms)
        return [each for each in found if not each.problem]
