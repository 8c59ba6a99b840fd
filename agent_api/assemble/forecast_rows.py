"""Forecasts as the leader tells them: of each slice what was said, what came, and the next ten minutes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from controllers.scaling.queries import BandAhead, ForecastPage, ForecastRequest, ForecastRow
from controllers.scaling.standing import Standing
from controllers.ttm.live import Forecasts
from controllers.ttm.trail import Band, bars
from runtime.operations.queries.page import page_of


def forecast_page(
    request: ForecastRequest, standings: Mapping[str, Standing], forecasts: Forecasts, *, leader: str
) -> ForecastPage:
    names = [name for name in standings if request.slice in ("", name)]
    page, cursor = page_of(names, lambda name: (name,), request)
    rows = [forecast_row(standings[name], forecasts) for name in page]
    return ForecastPage(items=tuple(row for row in rows if row is not None), next=cursor, leader=leader)


def forecast_row(at: Standing, forecasts: Forecasts) -> ForecastRow | None:
    """None where nothing was forecast."""
    said, ahead = forecasts.said(at.slice), forecasts.ahead(at.slice)
    if not said:
        return None
    first = said[-1].minute
    latest = said[-2].rate if len(said) > 1 else math.nan
    return ForecastRow(
        slice=at.slice,
        now=_band(first, said[-1].band, latest),
        past=tuple(_band(each.minute, each.band, each.rate) for each in said),
        ahead=tuple(_band(first + later, band) for later, band in enumerate(ahead)),
        chart=bars([each.rate for each in said[:-1]], [band.middle for band in ahead]),
        wanted=at.wanted,
        serving=at.serving,
    )


def _band(minute: int, band: Band, rate: float = math.nan) -> BandAhead:
    p10, p50, p90 = (round(each, 3) for each in band)
    return BandAhead(minute=minute, p10=p10, p50=p50, p90=p90, rate=round(rate, 3) if math.isfinite(rate) else None)
