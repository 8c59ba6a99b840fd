"""A question as Anthropic's Messages API wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llm_layer.providers.messages import Ask, Block, Kept, Message, Part, Plain, Said, ToolCall, ToolResult

MARKS_MAX: Final = 3  # of the instructions; the API takes four, and one is for the end of the conversation
CHOICES: Final = {"may": "auto", "must": "any", "never": "none"}
MARK: Final = {"cache_control": {"type": "ephemeral"}}


def request_of(ask: Ask, said: tuple[Message, ...], *, provider: str, model: str) -> Plain:
    """`said`: what the model began with in a pause, and goes on from."""
    request: Plain = {
        "model": model,
        "max_tokens": ask.tokens_max,
        "messages": _messages((*ask.messages, *said), provider, mark=bool(ask.tools)),
    }
    if ask.system:
        request["system"] = _system(ask.system)
    if ask.tools:
        request["tools"] = [
            {"name": each.name, "description": each.summary, "input_schema": each.schema} for each in ask.tools
        ]
        request["tool_choice"] = {"type": CHOICES[ask.calling]}
    if ask.answer_schema is not None:
        request["output_config"] = {"format": {"type": "json_schema", "schema": ask.answer_schema}}
    return request


def _system(blocks: Sequence[Block]) -> list[Plain]:
    """A mark covers everything before it, the tools too; of too many the last count."""
    marked = [at for at, each in enumerate(blocks) if each.cached][-MARKS_MAX:]
    return [{"type": "text", "text": each.text, **(MARK if at in marked else {})} for at, each in enumerate(blocks)]


def _messages(messages: Sequence[Message], provider: str, *, mark: bool) -> list[Plain]:
    """Roles alternate. Where tools may be called the end is marked, as the next question repeats all before it."""
    told: list[tuple[str, list[Plain]]] = []
    for message in messages:
        blocks = [block for part in _results_first(message.parts) if (block := _block(part, provider)) is not None]
        if told and told[-1][0] == message.role:
            told[-1][1].extend(blocks)
        elif blocks:
            told.append((message.role, blocks))
    if mark and told and told[-1][0] == "user":
        last = told[-1][1]
        last[-1] = {**last[-1], **MARK}
    return [{"role": role, "content": blocks} for role, blocks in told]


def _results_first(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda each: not isinstance(each, ToolResult))


def _block(part: Part, provider: str) -> Plain | None:
    match part:
        case Said():
            return {"type": "text", "text": part.text} if part.text else None
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
        case ToolResult():
            return {
                "type": "tool_result", "tool_use_id": part.id, "content": part.content, "is_error": part.failed
            }  # fmt: skip
        case Kept():
            return part.raw if part.provider == provider else None
