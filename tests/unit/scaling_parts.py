"""Scaling on a gate in memory: seconds are heard by hand, on the gate's clock."""

from __future__ import annotations

from itertools import count

from controllers.gate.joining import StoreAuditLog
from controllers.journal.decisions import StoreJournal
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.standing import State
from controllers.scaling.tree import default_tree
from controllers.scaling.watch import NoOutlook
from runtime.deployment.records import Records
from tests.unit.gate_parts import GateOnHand


def scaling_on_hand(hand: GateOnHand, state: State) -> ScalingLoop:
    numbers = count(1)

    def identify() -> str:
        return f"decision{next(numbers):04}"

    return ScalingLoop(
        state=state,
        records=Records(state),
        tree=default_tree(),
        outlook=NoOutlook(),
        dispatcher=hand.link,
        journal=StoreJournal(store=hand.store, audit=StoreAuditLog(hand.store), new_id=identify, log=hand.log),
        clock=hand.clock,
        new_id=identify,
        log=hand.log,
    )
