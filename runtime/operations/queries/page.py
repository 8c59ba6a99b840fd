"""Answers that are told page by page: what is asked for, and how the next page is found."""

from __future__ import annotations

import base64
import bisect
from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from runtime.errors import RuntimeFault
from runtime.operations.actor import Role
from runtime.operations.fields import CursorField, LimitField
from runtime.operations.operation import AnyQuery, Query, Request, Result, Route

NextField = Annotated[str, Meta(description="`cursor` of the next page; empty on the last.")]
RowT = TypeVar("RowT")
Series = dict[str, tuple[float | None, ...]]
"""Figures by name, oldest first; null is missing."""
Place = tuple[str | int, ...]
"""Where a row stands in its list: rows are told in the order of these."""


class CursorInvalid(RuntimeFault):
    """A cursor that no page of this list gave."""

    code = "cursor_invalid"
    remedy = "Give `next` of the page before as it is, or begin without a cursor."


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what lists hold."""


class PageRequest(Request, frozen=True, kw_only=True):
    """State changes between pages: a row that comes or goes meanwhile is told or not, every other one is told once."""

    cursor: CursorField = ""
    limit: LimitField = 1_000


class Page(Result, frozen=True, kw_only=True):
    """Base of results with `items`."""

    next: NextField = ""


def read(
    name: str,
    summary: str,
    request: type[Request],
    result: type[Result],
    path: str,
    *,
    role: Role = Role.VIEWER,
    post: bool = False,
    errors: tuple[str, ...] = (),
) -> AnyQuery:
    """A query; paged where its result is a page."""
    paged = issubclass(result, Page)
    return Query(
        name=name,
        summary=summary,
        request=request,
        result=result,
        route=Route(method="POST" if post else "GET", path=path),
        role=role,
        paged=paged,
        errors=(*errors, "cursor_invalid") if issubclass(request, PageRequest) else errors,
    )


def items_name(query: AnyQuery) -> str:
    """What the list of a paged result is called in JSON: lists that were there before pages keep their noun."""
    return next(field.encode_name for field in msgspec.structs.fields(query.result) if field.name == "items")


def page_of(
    rows: Iterable[RowT], place: Callable[[RowT], Place], request: PageRequest, *, newest_first: bool = False
) -> tuple[list[RowT], str]:
    """The rows behind the request's cursor, and the cursor behind them. Raises CursorInvalid.

    place: distinct for each row, and of one shape.
    """
    found = sorted(rows, key=place, reverse=newest_first)
    if request.cursor:
        found = _behind(found, place, place_of(request.cursor), newest_first=newest_first)
    page = found[: request.limit]
    return page, cursor_of(place(page[-1])) if len(found) > len(page) else ""


def _behind(rows: list[RowT], place: Callable[[RowT], Place], last: Place, *, newest_first: bool) -> list[RowT]:
    try:
        if newest_first:
            return rows[bisect.bisect_right(rows, _Reversed(last), key=lambda row: _Reversed(place(row))) :]
        return rows[bisect.bisect_right(rows, last, key=place) :]
    except TypeError as error:  # of another list, whose places have another shape
        raise CursorInvalid("the cursor is of another list") from error


class _Reversed:
    """A place in a list that begins with the greatest."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place = place

    def __lt__(self, other: _Reversed) -> bool:
        return self.place > other.place


def cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


_places: Final[msgspec.json.Decoder[Place]] = msgspec.json.Decoder(Place)


def place_of(cursor: str) -> Place:
    """Raises CursorInvalid."""
    try:
        return _places.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:  # no base64, no JSON, or JSON of something else
        raise CursorInvalid(f"{cursor[:40]!r} is no cursor") from error
