"""What scaling is told of forecasts: the highest of the next minutes, a second, at each quantile."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.scaling import model
from controllers.ttm.live import NoForecasts
from controllers.ttm.load_forecast import load_forecast
from controllers.ttm.outlook import LiveOutlook, forecast_of
from controllers.ttm.schema import HORIZONS, QUANTILES


def test_soon_is_the_highest_of_two_minutes_and_later_of_five_in_requests_a_second() -> None:
    minutes = np.array([60, 120, 60, 60, 600, 6_000, 0, 0, 0, 0])[:, None]
    forecast = forecast_of(
        load_forecast("orders", (minutes * np.arange(1, len(QUANTILES) + 1)).astype(np.float32).tobytes())
    )
    assert len(minutes) == HORIZONS
    assert forecast.soon == pytest.approx([2.0 * step for step in range(1, 9)])
    assert forecast.later == pytest.approx([10.0 * step for step in range(1, 9)])


def test_both_speak_of_the_same_quantiles() -> None:
    """Otherwise a plan for one in twenty would be one for one in ten."""
    assert QUANTILES == model.QUANTILES


def test_without_a_forecast_there_is_none_and_yesterday_is_told_all_the_same() -> None:
    outlook = LiveOutlook(NoForecasts(), {"orders": 1.5}.get)
    assert (outlook.forecast("orders"), outlook.day_ago_ratio("orders")) == (None, 1.5)
