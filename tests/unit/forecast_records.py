"""Records of models that forecast, without what makes them."""

from __future__ import annotations

from controllers.ttm.records import ForecastModel


def forecast_model(number: int, *, ruling: str = "crowned", parent: int = 0) -> ForecastModel:
    return ForecastModel(
        number=number,
        sha256=f"{number:064}",
        base="b" * 64,
        parent=parent,
        made_unix_ms=0,
        cause="error_changed of orders",
        first_minute=0,
        last_minute=2_879,
        slices=1,
        samples=1_440,
        ruling=ruling,
    )
