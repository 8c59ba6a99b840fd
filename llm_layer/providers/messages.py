"""What is asked of a language model and what it replies, in words of no vendor's API."""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

Plain = dict[str, object]
Tier = Literal["cheap", "strong"]
"""Which of a provider's two models: names of both are settings. The cheap one is asked small questions beside an
answer, and stands in for the strong one when money runs short."""

Stop = Literal["end", "calls", "length", "refused", "paused", "overflow"]
"""Why the model stopped.

end: it has said all · calls: it wants tools called · length: `tokens_max` reached, the text is cut ·
refused: it or a filter declined, `text` may say why · paused: it wants to go on, send its message back ·
overflow: the conversation does not fit its window, shorten it.
"""

TOKENS_MAX: Final = 4_096  # of an answer: some 3,000 words, four times the longest that a screen of findings has
QUOTED_CHARS_MAX: Final = 500  # of what a model wrote wrongly, told back to it


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the instructions, the most stable first. `cached`: all up to here is worth the provider's keeping."""

    text: str
    cached: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    text: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """`arguments` are an object, whole and parsed; whether they fit the tool's schema is for the tool to say."""

    id: str
    name: str
    arguments: Plain


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """Of the call with this id. `failed`: `content` says what was wrong with it."""

    id: str
    content: str
    failed: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """What one provider wants back unread (signed or encrypted reasoning). Others are not sent it."""

    provider: str
    raw: Plain


Part = Said | ToolCall | ToolResult | Kept


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Results of all calls of one assistant message stand in the one user message after it."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`schema` is a JSON Schema of an object."""

    name: str
    summary: str
    schema: Plain


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model.

    answer_schema: the text of an answer without calls is an object of this JSON Schema: every member required, no
    others.
    calling: `never` where tools stand in the history but none may be called now; `must` where text would be no answer.
    incident: may use the share of the budget that is kept for incidents.
    within_s: for the whole answer with all tries, where less than the usual time is worth waiting.
    """

    system: tuple[Block, ...]
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    answer_schema: Plain | None = None
    calling: Literal["may", "must", "never"] = "may"
    tokens_max: int = TOKENS_MAX
    tier: Tier = "strong"
    incident: bool = False
    within_s: float = math.inf


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens. `fresh` were read without help of a cache; `written` went into it; `output` includes reasoning."""

    fresh: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        return self.fresh + self.cached + self.written + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            fresh=self.fresh + other.fresh,
            cached=self.cached + other.cached,
            written=self.written + other.written,
            output=self.output + other.output,
        )


class CallRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A call that nobody may carry out: its arguments are no JSON object, or there is no tool of that name."""

    id: str
    name: str
    code: Literal["arguments_malformed", "unknown_tool"]
    detail: str
    near: tuple[str, ...] = ()

    def result(self) -> ToolResult:
        """What the model is told, so that it can mend it."""
        told = {"error": {"code": self.code, "detail": self.detail, "near": self.near}}
        return ToolResult(id=self.id, content=msgspec.json.encode(told).decode(), failed=True)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a question.

    parts: the assistant's message, to be sent back as it is.
    calls: those that may be carried out; each of `refused` needs its result too.
    answer: the object of `answer_schema`; None where none was wanted, calls came first, or the text is no object.
    cost_micros: millionths of a US dollar; None where the model's price is not known.
    """

    text: str
    parts: tuple[Part, ...]
    stop: Stop
    usage: Usage
    provider: str
    model: str
    calls: tuple[ToolCall, ...] = ()
    refused: tuple[CallRefused, ...] = ()
    answer: Plain | None = None
    cost_micros: int | None = None

    @property
    def message(self) -> Message:
        return Message(role="assistant", parts=self.parts)
