"""What scaling publishes for alerts: the forecast beside what instances carry, and the pace at which errors come."""

from __future__ import annotations

import pytest

from controllers.scaling.figures import PUBLISHED, ScalingFigures, burn_rate, slowness
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.model import QUANTILES, Forecast
from runtime.consensus.store import Revision
from runtime.deployment.records import Records
from runtime.operations.dispatch import Applied, Refused, Submission
from runtime.operations.plan import Json
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.builtin import THRESHOLD
from runtime.telemetry.alerts.metrics import SELDOM_S
from runtime.telemetry.alerts.watch import AlertWatch
from runtime.telemetry.windows import Window
from tests.unit.gate_parts import GateOnHand, person
from tests.unit.scaling_parts import scaling_on_hand
from tests.unit.test_scaling_loop import live

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
    watch = AlertWatch(
        store=hand.store, state=hand.state, records=Records(hand.state), figures=figures, clock=hand.clock
    )
    lasts = []
    for rate in (150.0, None, 250.0, 100.0):
        ahead.rate = rate
        for _ in range(SELDOM_S + 1):
            hand.pass_time(1_000)
            await watch.look(hand.fence() or Revision(0))
        of_mine = [each.alert for each in kept.alerts(hand.state) if each.alert.labels["alertname"] == THRESHOLD]
        lasts.append(any(each.lasts for each in of_mine))
    assert lasts == [False, False, True, False]


async def test_an_alert_begins_when_a_slice_is_not_scaled_for_want_of_figures() -> None:
    """Silence is not calm: whoever is responsible must hear of it, and not only whoever reads events."""
    async with live() as orders:
        figures = ScalingFigures(known=orders.loop, window=lambda _slice: None)
        watch = AlertWatch(
            store=orders.hand.store,
            state=orders.hand.state,
            records=Records(orders.hand.state),
            figures=figures,
            clock=orders.hand.clock,
        )
        begun = []
        for calls, seconds in ((300, 40), (None, 80), (300, 20)):
            for _ in range(seconds):
                await orders.seconds(1, calls)
                await watch.look(orders.hand.fence() or Revision(0))
            known = [each.alert for each in kept.alerts(orders.hand.state)]
            begun.append(any(each.labels["alertname"] == "ScalingHeld" and each.lasts for each in known))
        assert begun == [False, True, False]


async def test_a_metric_that_nobody_publishes_is_refused() -> None:
    hand, _, _ = await two_instances()
    request = {"slice": "orders", "metric": "slo_burn_9m", "bound": 1}
    found = await hand.gate.submit(Submission(operation="alert.set-threshold", request=request, actor=person("anna")))
    assert isinstance(found, Refused)
    assert "slo_burn_5m" in found.detail


@pytest.mark.parametrize(
    ("metric", "bad_s"),
    [("slo_burn_5m", 300), ("slo_burn_30m", 1_800), ("slo_burn_1h", 3_600), ("slo_burn_2h", 7_000)],
)
def test_a_burn_rate_is_the_share_of_errors_over_what_the_objective_allows(metric: str, bad_s: int) -> None:
    """Each over its own time: an hour's tells of what lasts, five minutes' of what is over already."""
    window = Window()
    for second in range(7_000):
        bad = second >= 7_000 - bad_s
        window.put(second, {"calls": 100.0, "errors": 1.0 if bad else 0.0})
    assert burn_rate(window, metric, 0.999) == pytest.approx(10.0, rel=0.01)
    assert burn_rate(Window(), metric, 0.999) is None


def test_slowness_is_the_95th_percentile_over_its_objective() -> None:
    window = Window()
    assert slowness(window, 500.0) is None
    for second in range(30):
        window.put(second, {"p95_ms": 100.0 if second < 20 else 1_000.0})
    assert slowness(window, 500.0) == 2.0


async def test_every_published_figure_can_be_asked_for_and_of_an_unknown_slice_there_is_none() -> None:
    _, loop, _ = await two_instances()
    figures = ScalingFigures(known=loop, window=lambda _slice: Window())
    for metric in PUBLISHED:
        assert figures.figure("slice:orders", metric) in (None, 0.0)
        assert figures.figure("slice:nothing", metric) is None
