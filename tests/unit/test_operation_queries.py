"""Queries are declared so that routes, commands and documents can be made of them, and pages leave nothing out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_api.catalogue import make_catalogue
from runtime.operations.operation import AnyQuery
from runtime.operations.queries.page import CursorInvalid, Page, PageRequest, cursor_of, items_name, page_of

QUERIES = make_catalogue().queries()
Numbered = tuple[str, int]


def place(row: Numbered) -> tuple[str, int]:
    return row


@pytest.mark.parametrize("query", QUERIES, ids=lambda each: each.name)
def test_a_query_can_be_described_and_its_path_is_of_its_request(query: AnyQuery) -> None:
    """Otherwise no route and no command could be made from it."""
    (_, result), _ = msgspec.json.schema_components([query.request, query.result])
    members = {field.encode_name for field in msgspec.structs.fields(query.request)}
    in_path = {part[1:-1] for part in query.route.path.split("/") if part.startswith("{")}
    assert result
    assert in_path <= members
    assert query.paged == issubclass(query.result, Page)
    if query.paged:
        assert items_name(query)
        assert {"cursor", "limit"} <= members


@given(st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 30))), st.integers(1, 7), st.booleans())
def test_pages_tell_every_row_once_and_in_order(rows: set[Numbered], limit: int, newest_first: bool) -> None:
    """A row left out between two pages would be an instance that nobody sees."""
    told: list[Numbered] = []
    cursor = ""
    while True:
        request = PageRequest(cursor=cursor, limit=limit)
        page, cursor = page_of(rows, place, request, newest_first=newest_first)
        assert len(page) <= limit
        told += page
        if not cursor:
            break
    assert told == sorted(rows, reverse=newest_first)


@pytest.mark.parametrize("cursor", ["%", "abc", cursor_of((1, "a")), "é", cursor_of(("a",))[:-2] + "~~"])
def test_a_cursor_of_nowhere_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        page_of([("a", 1), ("b", 2)], place, PageRequest(cursor=cursor))
