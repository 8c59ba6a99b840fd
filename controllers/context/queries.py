"""What can be asked about the history of minutes: the data that forecasts are trained from."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from controllers.context.errors import HistoryAway
from controllers.context.minute import SCHEMA_VERSION
from runtime.operations.queries.page import Page, PageRequest, Row, read

HOURS_MAX: Final = 240  # of one page: about 1 MB as JSON
MinuteField = Annotated[int, Meta(ge=0, le=600_000_000)]


class TrainingDataRequest(PageRequest, frozen=True, kw_only=True):
    """By slice and time, oldest first."""

    limit: Annotated[int, Meta(ge=1, le=HOURS_MAX, description="Most hours of one page.")] = 48
    slice: Annotated[str, Meta(max_length=200, description="Only of this slice.")] = ""
    since_minute: Annotated[MinuteField, Meta(description="Minutes since 1970: from its hour on.")] = 0
    until_minute: Annotated[MinuteField, Meta(description="Minutes since 1970: hours that begin before it.")] = (
        600_000_000
    )


class TrainingHour(Row, frozen=True, kw_only=True):
    """One slice's hour. Each column has a value for each of its sixty minutes; null is not known."""

    slice: str
    first_minute: Annotated[int, Meta(description="Minutes since 1970.")]
    schema_version: int = SCHEMA_VERSION
    versions: Annotated[tuple[str, ...], Meta(description="That took most calls, of each minute; empty: not known.")]
    columns: dict[str, tuple[float | None, ...]]


class TrainingDataPage(Page, frozen=True, kw_only=True):
    items: tuple[TrainingHour, ...]


QUERIES: Final = (
    read(
        "controller.training-data",
        "What each slice did in each minute, to train forecasts from.",
        TrainingDataRequest,
        TrainingDataPage,
        "/v1/controller/training-data",
        errors=(HistoryAway.code,),
    ),
)
