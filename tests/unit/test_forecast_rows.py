"""`controller.forecast` tells what was said beside what came."""

from __future__ import annotations

import math

from agent_api.assemble.forecast_rows import forecast_row
from controllers.scaling.config import ScalingConfig
from controllers.scaling.standing import Standing
from controllers.ttm.live import NoForecasts
from controllers.ttm.trail import Band, SaidMinute

AT = Standing(
    slice="tea",
    version="1",
    others=0,
    wanted=3,
    serving=2,
    least=1,
    most=9,
    deploying=False,
    budget=1,
    room=None,
    nodes=frozenset(),
    frozen="",
    incident="",
    config=ScalingConfig(),
    recent=(),
)


class Said(NoForecasts):
    def said(self, slice_name: str) -> tuple[SaidMinute, ...]:
        assert slice_name == "tea"
        return (
            SaidMinute(minute=7, band=Band(1.0, 2.0, 3.0), rate=2.5),
            SaidMinute(minute=8, band=Band(2.0, 3.0, 4.0)),
        )

    def ahead(self, slice_name: str) -> tuple[Band, ...]:
        del slice_name
        return (Band(2.0, 3.0, 4.0), Band(4.0, 5.0, 6.0))


def test_each_minute_stands_beside_its_own_band() -> None:
    row = forecast_row(AT, Said())
    assert row is not None
    assert [(each.minute, each.p10, each.rate) for each in row.past] == [(7, 1.0, 2.5), (8, 2.0, None)]
    assert [(each.minute, each.p90) for each in row.ahead] == [(8, 4.0), (9, 6.0)]
    assert (row.now.minute, row.now.rate, row.wanted, row.serving) == (8, 2.5, 3, 2)
    assert row.chart == "▅|▅█"


def test_a_slice_without_a_forecast_has_no_row() -> None:
    assert forecast_row(AT, NoForecasts()) is None
    assert not math.isfinite(SaidMinute(minute=1, band=Band(0, 0, 0)).rate)
