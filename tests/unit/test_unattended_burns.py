"""Which burning slices the third scaling layer is asked about: those that no playbook is there for."""

from __future__ import annotations

import pytest

from agent_api.assemble.burning import UnattendedBurns
from runtime.state import keys
from runtime.telemetry.alerts.records import Alert
from tests.unit.gate_parts import GateOnHand

pytestmark = pytest.mark.anyio


def burns(slice_name: str, alertname: str, *, ends_unix_ms: int = 0) -> Alert:
    return Alert(
        fingerprint=f"{slice_name}-{alertname}",
        group_key="g",
        labels={"alertname": alertname, "slice": slice_name, "subject": f"slice:{slice_name}"},
        starts_unix_ms=1,
        fired_unix_ms=1,
        ends_unix_ms=ends_unix_ms,
    )


async def test_a_burn_counts_while_it_lasts_and_no_playbook_starts_for_it() -> None:
    """The package's own playbook is there for the fast one."""
    hand = GateOnHand()
    found = UnattendedBurns(hand.state, hand.clock)
    assert found() == frozenset()
    for each in (
        burns("orders", "ErrorBudgetBurns"),
        burns("payment", "ErrorBudgetBurnsFast"),
        burns("ledger", "ErrorBudgetBurns", ends_unix_ms=2),
        burns("search", "SliceSlow"),
    ):
        await hand.put(keys.alert(each.fingerprint), each)
    assert found() == {"orders"}
