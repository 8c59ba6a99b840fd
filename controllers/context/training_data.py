"""Who answers `controller.training-data`: the node's own history."""

from __future__ import annotations

from controllers.context.errors import HistoryAway
from controllers.context.history import MinuteHistory
from controllers.context.history_file import HourPlace
from controllers.context.hour import MINUTES, Hour
from controllers.context.minute import COLUMNS
from controllers.context.queries import TrainingDataPage, TrainingDataRequest, TrainingHour
from runtime.operations.queries.page import CursorInvalid, cursor_of, place_of


class TrainingData:
    """Answers `controller.training-data` from this node's own history; worker nodes have none."""

    def __init__(self, history: MinuteHistory | None) -> None:
        self._history = history

    async def page(self, request: TrainingDataRequest) -> TrainingDataPage:
        """Raises CursorInvalid or HistoryAway."""
        if self._history is None:
            raise HistoryAway("this is a worker node: core nodes keep the history")
        after = _place(request.cursor) if request.cursor else HourPlace("", -1)
        first, until = request.since_minute // MINUTES, -(-request.until_minute // MINUTES)
        found = await self._history.ask(
            lambda file: [
                (place, file.hour(*place))
                for place in file.places(after, first, until, limit=request.limit, only=request.slice)
            ]
        )
        is_last = len(found) < request.limit
        return TrainingDataPage(
            items=tuple(_row(place, hour) for place, hour in found), next="" if is_last else cursor_of(found[-1][0])
        )


def _place(cursor: str) -> HourPlace:
    match place_of(cursor):
        case [str(name), int(hour)] if abs(hour) < 1 << 40:
            return HourPlace(name, hour)
    raise CursorInvalid("the cursor is of another list")


def _row(place: HourPlace, hour: Hour) -> TrainingHour:
    return TrainingHour(
        slice=place.slice,
        first_minute=place.hour * MINUTES,
        versions=tuple(hour.versions),
        columns={name: tuple(_known(value) for value in hour.column(name)) for name in COLUMNS},
    )


def _known(value: float) -> float | None:
    """With the seven digits that a float32 has."""
    return float(f"{value:.7g}") if value == value else None  # noqa: PLR0124  NaN is not equal to itself
