"""Scaling on a gate in memory: seconds are heard by hand, on the gate's clock."""

from __future__ import annotations

from itertools import count

from agent_api.control_api.ports import ForecastBook
from controllers.context.context import ControlContext
from controllers.gate.joining import StoreAuditLog
from controllers.journal.decisions import StoreJournal
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.model import Forecast
from controllers.scaling.queries import ForecastPage, ForecastRequest
from controllers.scaling.standing import State
from controllers.scaling.tree import default_tree
from runtime.deployment.records import Records
from tests.unit.gate_parts import GateOnHand


class _NoOutlook:
    def forecast(self, slice_name: str) -> Forecast | None:
        return None


class NoHistory:
    def tell(self, minute: int, minutes: object) -> None:
        """Kept nowhere."""


def context_on_hand(hand: GateOnHand, state: State) -> ControlContext:
    return ControlContext(
        records=Records(state),
        revision=lambda: int(state.revision),
        history=NoHistory(),  # type: ignore[arg-type]  # only told
        slo_p95_ms=lambda _slice: 500.0,
        log=hand.log,
    )


def scaling_on_hand(hand: GateOnHand, state: State, context: ControlContext | None = None) -> ScalingLoop:
    numbers = count(1)

    def identify() -> str:
        return f"decision{next(numbers):04}"

    return ScalingLoop(
        state=state,
        records=Records(state),
        tree=default_tree(),
        loads=lambda: context.snapshot().slices if context is not None else {},
        outlook=_NoOutlook(),
        dispatcher=hand.link,
        journal=StoreJournal(store=hand.store, audit=StoreAuditLog(hand.store), new_id=identify, log=hand.log),
        clock=hand.clock,
        new_id=identify,
        log=hand.log,
    )


class _NoBook:
    async def page(self, request: ForecastRequest) -> ForecastPage:
        del request
        return ForecastPage(items=(), next="", leader="n1")


def no_forecasts() -> ForecastBook:
    """A leader that has forecast nothing yet."""
    return _NoBook()
