"""What scaling publishes for alerts: the forecast beside what instances carry, and the pace at which errors come."""

from __future__ import annotations

import pytest

from controllers.scaling.figures import PUBLISHED, ScalingFigures, burn_rate
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.model import QUANTILES, Forecast
from runtime.consensus.store import Revision
from runtime.operations.dispatch import Applied, Refused, Submission
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.telemetry.alerts import AlertWatch
from runtime.telemetry.windows import Window
from tests.unit.gate_parts import GateOnHand, person
from tests.unit.scaling_parts import scaling_on_hand

pytestmark = pytest.mark.anyio


class Expects:
    """One rate, at each quantile."""

    rate: float | None = 0.0

    def forecast(self, slice_name: str) -> Forecast | None:
        return (
            None if self.rate is None else Forecast(soon=(self.rate,) * len(QUANTILES), later=(0.0,) * len(QUANTILES))
        )


async def two_instances() -> tuple[GateOnHand, ScalingLoop, Expects]:
    """Of 100 calls a second each."""
    hand, ahead = GateOnHand(), Expects()
    await hand.populate(wanted=2, least=1, most=20)
    members: dict[str, Json] = {"slice": "orders", "set": {"rate_per_instance": 100.0}}
    submission = Submission(operation="controller.configure", request=members, actor=person("anna"))
    assert isinstance(await hand.gate.submit(submission), Applied)
    loop = scaling_on_hand(hand, hand.state)
    loop._outlook = ahead
    return hand, loop, ahead


async def test_an_alert_begins_when_the_forecast_needs_more_than_the_instances_carry() -> None:
    """So that people know of a peak before it is there, where bounds or nodes keep scaling from meeting it."""
    hand, loop, ahead = await two_instances()
    request = {"slice": "orders", "metric": "forecast_p95_vs_capacity", "bound": 0.9, "for_s": 1}
    submission = Submission(operation="alert.set-threshold", request=request, actor=person("anna"))
    assert isinstance(await hand.gate.submit(submission), Applied)
    figures = ScalingFigures(known=loop, window=lambda _slice: None)
    watch = AlertWatch(store=hand.store, state=hand.state, figures=figures, clock=hand.clock)
    lasts = []
    for rate in (150.0, None, 250.0, 100.0):
        ahead.rate = rate
        for _ in range(2):
            hand.pass_time(1_000)
            await watch.look(hand.fence() or Revision(0))
        lasts.append(hand.state.get(keys.alert("orders", "forecast_p95_vs_capacity")) is not None)
    assert lasts == [False, False, True, False]


async def test_a_metric_that_nobody_publishes_is_refused() -> None:
    hand, _, _ = await two_instances()
    request = {"slice": "orders", "metric": "slo_burn_9m", "bound": 1}
    found = await hand.gate.submit(Submission(operation="alert.set-threshold", request=request, actor=person("anna")))
    assert isinstance(found, Refused)
    assert "slo_burn_9m" in found.detail


@pytest.mark.parametrize(("metric", "bad_s"), [("slo_burn_5m", 300), ("slo_burn_30m", 1_800), ("slo_burn_1h", 3_600)])
def test_a_burn_rate_is_the_share_of_errors_over_what_the_objective_allows(metric: str, bad_s: int) -> None:
    """Each over its own time: an hour's tells of what lasts, five minutes' of what is over already."""
    window = Window()
    for second in range(7_000):
        bad = second >= 7_000 - bad_s
        window.put(second, {"calls": 100.0, "errors": 1.0 if bad else 0.0})
    assert burn_rate(window, metric, 0.999) == pytest.approx(10.0, rel=0.01)
    assert burn_rate(Window(), metric, 0.999) is None


async def test_every_published_figure_can_be_asked_for_and_of_an_unknown_slice_there_is_none() -> None:
    _, loop, _ = await two_instances()
    figures = ScalingFigures(known=loop, window=lambda _slice: Window())
    for metric in PUBLISHED:
        assert figures.figure("orders", metric) in (None, 0.0)
        assert figures.figure("nothing", metric) is None
