"""What the provider says, and to whom, in words of no vendor's API."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

Json = dict[str, object]
Api = Literal["messages", "responses", "chat"]

Fault = Literal["status", "slow", "cut", "hang_up", "garbled", "overflow"]
"""status: an error of the `status` · slow: the head, then nothing until the caller goes · cut: the stream ends in its
middle, amid the arguments where there is a call · hang_up: the connection ends before the head · garbled: 200 and no
JSON · overflow: the error for a conversation that does not fit.
"""

Ending = Literal["", "length", "refused", "paused", "overflow"]
WORDS_OUT: Final = "The script has nothing more to say."


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call. `raw` goes out in place of the arguments' JSON: malformed ones."""

    name: str
    arguments: Json = {}
    raw: str = ""

    @property
    def written(self) -> str:
        return self.raw or msgspec.json.encode(self.arguments).decode()


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `when`: a pattern that the last words or results must have for this line to be the one."""

    says: str = ""
    calls: tuple[Called, ...] = ()
    thinks: str = ""
    ending: Ending = ""
    fault: Fault | None = None
    status: int = 500
    retry_after: str = ""
    when: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    content: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A request of any of the APIs. `said` are the last user message's words, `results` those that came with it."""

    api: Api
    model: str
    system: str
    said: str
    results: tuple[Result, ...]
    tools: tuple[str, ...]
    stream: bool
    body: Json
    headers: dict[str, str]

    @property
    def wanted(self) -> frozenset[str]:
        """Members of the object that the answer must be; none where words are wanted."""
        schema = _schema_in(self.body)
        return frozenset(msgspec.convert(schema.get("properties", {}), Json))

    @property
    def last(self) -> str:
        return "\n".join([self.said, *(each.content for each in self.results)])


Script = Callable[[Seen], Line]
_SCHEMAS: Final = (
    ("output_config", "format", "schema"),
    ("text", "format", "schema"),
    ("response_format", "json_schema", "schema"),
)
"""Where each of the APIs is told what the answer must look like."""


def _schema_in(body: Json) -> Json:
    for path in _SCHEMAS:
        node: object = body
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            return node
    return {}


def in_turn(*lines: Line) -> Script:
    """One after the other, whatever is asked; past the last it says that it has no more."""
    left = list(lines)
    return lambda _: left.pop(0) if left else Line(says=WORDS_OUT)


def by_rules(lines: Sequence[Line]) -> Script:
    """The first line left that fits what was said last; each is said once. One without `when` fits everything."""
    left = list(lines)

    def say(seen: Seen) -> Line:
        for each in left:
            if re.search(each.when, seen.last, re.DOTALL | re.IGNORECASE):
                left.remove(each)
                return each
        return Line(says=WORDS_OUT)

    return say


def read_lines(raw: bytes) -> list[Line]:
    """Of a file with one line as JSON a line."""
    return [msgspec.json.decode(each, type=Line) for each in raw.splitlines() if each.strip()]


def pieces(text: str, chars: int = 7) -> list[str]:
    return [text[at : at + chars] for at in range(0, len(text), chars)]


def tokens(text: str) -> int:
    """Four characters make one, as a rule of thumb has it; never none."""
    return max(1, len(text) // 4)
