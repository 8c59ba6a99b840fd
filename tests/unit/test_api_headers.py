"""What the document says of a header is what the server takes: no value more, none less."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from agent_api.control_api.conditional import idempotency_key_of, if_match_of
from agent_api.control_api.openapi import HEADERS
from agent_api.control_api.problems import RequestInvalid
from agent_api.control_api.streams import place_of

HEEDED: Final[dict[str, Callable[[str], object]]] = {
    "If-Match": lambda text: if_match_of(with_header("if-match", text)),
    "Last-Event-ID": place_of,
}
NEAR: Final = st.text(alphabet='0123456789.W/"* \t\n²\xa0,-', max_size=8)


def with_header(name: str, text: str) -> Request:
    return Request({"type": "http", "headers": [(name.encode(), text.encode("latin-1"))]})


def pattern_of(header: str) -> str:
    schema: dict[str, Any] = HEADERS[header][0]
    return str(schema["pattern"])


def is_taken(header: str, text: str) -> bool:
    try:
        HEEDED[header](text)
    except RequestInvalid:
        return False
    return True


def test_a_key_of_repeats_is_as_long_as_the_document_says() -> None:
    """Also with a dry run, which looks no answer up."""
    most = HEADERS["Idempotency-Key"][0]["maxLength"]
    assert isinstance(most, int)
    assert idempotency_key_of(with_header("idempotency-key", "k" * most)) == "k" * most
    with pytest.raises(RequestInvalid, match=f"at most {most}"):
        idempotency_key_of(with_header("idempotency-key", "k" * (most + 1)))


def test_every_header_with_a_pattern_is_looked_at_here() -> None:
    assert {header for header, (schema, _) in HEADERS.items() if "pattern" in schema} == HEEDED.keys()


@pytest.mark.parametrize("header", HEEDED)
@given(data=st.data())
def test_a_value_is_taken_if_and_only_if_it_fits_the_published_pattern(header: str, data: st.DataObject) -> None:
    """`$` also matches before a line's end in Python, and in other languages it does not: no header holds one."""
    pattern = re.compile(pattern_of(header))
    text = data.draw(st.one_of(NEAR, st.from_regex(pattern, fullmatch=True)))
    assert is_taken(header, text) == (pattern.fullmatch(text) is not None)


@pytest.mark.parametrize(
    ("header", "text"),
    [("Last-Event-ID", ""), ("Last-Event-ID", "120.0"), ("If-Match", "*"), ("If-Match", 'W/"12"'), ("If-Match", "12")],
)
def test_what_clients_send_is_taken(header: str, text: str) -> None:
    """The console sends an empty id until it has seen an event; proxies make ETags weak."""
    assert is_taken(header, text)
    assert re.fullmatch(pattern_of(header), text)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Last-Event-ID", " 120.0"),
        ("Last-Event-ID", "120.0\n"),
        ("Last-Event-ID", "120"),
        ("If-Match", ""),
        ("If-Match", '"12'),
        ("If-Match", "W/12"),
        ("If-Match", "12 "),
    ],
)
def test_what_nearly_fits_is_refused(header: str, text: str) -> None:
    assert not is_taken(header, text)
