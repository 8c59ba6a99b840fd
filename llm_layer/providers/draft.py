"""An answer while it is put together from what a provider sends."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from llm_layer.providers.messages import (
    QUOTED_CHARS_MAX,
    Ask,
    CallRefused,
    Kept,
    Part,
    Plain,
    Reply,
    Said,
    Stop,
    ToolCall,
    Usage,
)
from runtime.spelling import near_names

BYTES_A_TOKEN: Final = 3  # where a provider does not tell its usage: JSON and words of any language have three and more


class Draft:
    """Parts come whole and in their order. `cut` calls, of an answer that ran into its limit, are left out."""

    def __init__(self, ask: Ask, *, provider: str, model: str) -> None:
        self._ask = ask
        self._provider = provider
        self._model = model
        self._tools = {each.name for each in ask.tools}
        self.parts: list[Part] = []
        self._calls: list[ToolCall] = []
        self._refused: list[CallRefused] = []
        self._usage: Usage | None = None

    def say(self, text: str) -> None:
        if text:
            self.parts.append(Said(text=text))

    def keep(self, raw: Plain) -> None:
        """What this provider alone understands."""
        self.parts.append(Kept(provider=self._provider, raw=raw))

    def used(self, usage: Usage) -> None:
        self._usage = usage if self._usage is None else self._usage + usage

    def call(self, identity: str, name: str, written: str, *, cut: bool = False) -> None:
        """One tool call with its arguments as they were written. Nothing of malformed ones is guessed at."""
        number = len(self._calls) + len(self._refused)
        identity = identity or f"call_{len(self._ask.messages)}_{number}"  # some compatible servers give none
        try:
            arguments = msgspec.json.decode(written or "{}", type=dict[str, object])
        except msgspec.DecodeError as error:
            if not cut:
                detail = f"the arguments are no JSON object ({error}): {written[:QUOTED_CHARS_MAX]}"
                self._refuse(CallRefused(id=identity, name=name, code="arguments_malformed", detail=detail))
            return
        if name not in self._tools:
            near = tuple(near_names(name, self._tools))
            detail = f"there is no tool {name[:QUOTED_CHARS_MAX]!r}"
            self._refuse(CallRefused(id=identity, name=name, code="unknown_tool", detail=detail, near=near))
            return
        call = ToolCall(id=identity, name=name, arguments=arguments)
        self._calls.append(call)
        self.parts.append(call)

    def _refuse(self, refused: CallRefused) -> None:
        """The call still stands in the message, as its result must follow."""
        self._refused.append(refused)
        self.parts.append(ToolCall(id=refused.id, name=refused.name, arguments={}))

    def reply(self, stop: Stop) -> Reply:
        text = "".join(each.text for each in self.parts if isinstance(each, Said))
        called = bool(self._calls or self._refused)
        if stop in ("end", "calls"):
            stop = "calls" if called else "end"
        return Reply(
            text=text,
            parts=tuple(self.parts),
            stop=stop,
            usage=self._usage or self._estimated(),
            provider=self._provider,
            model=self._model,
            calls=tuple(self._calls),
            refused=tuple(self._refused),
            answer=self._answer(text) if stop == "end" else None,
        )

    def _answer(self, text: str) -> Plain | None:
        if self._ask.answer_schema is None:
            return None
        try:
            return msgspec.json.decode(text, type=dict[str, object])
        except msgspec.DecodeError:
            return None

    def _estimated(self) -> Usage:
        return Usage(fresh=_tokens(self._ask), output=_tokens(self.parts))


def _tokens(value: object) -> int:
    return math.ceil(len(msgspec.json.encode(value)) / BYTES_A_TOKEN)
