"""OpenAI's own models over the Responses API."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from llm_layer.providers.configured import Configured
from llm_layer.providers.draft import Draft
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.limits import Begun, begun_within
from llm_layer.providers.messages import (
    Ask,
    Kept,
    Message,
    Plain,
    Reply,
    Said,
    Stop,
    Tier,
    ToolCall,
    ToolResult,
    Usage,
)
from llm_layer.providers.openai_client import opened
from llm_layer.providers.provider import Heard
from llm_layer.providers.vendor_client import VendorClient
from llm_layer.providers.vendor_faults import Overflowed, coded, without_secrets

CHOICES: Final = {"may": "auto", "must": "required", "never": "none"}
ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class OpenAiResponses:
    """Implements Provider. Nothing is kept at the maker's: reasoning goes back and forth, sealed."""

    def __init__(self, configured: Configured) -> None:
        self.name = configured.name
        self._configured = configured
        self._client = VendorClient(configured, opened)

    def model(self, tier: Tier) -> str:
        return self._configured.model(tier)

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        async def reading(begun: Begun) -> Reply:
            following = _Following(heard, begun)

            async def read(client: Any) -> Any:
                async with await client.responses.create(**self._request(ask), stream=True) as events:
                    async for event in events:
                        await following.take(event)
                return following.response()

            return await self._replied(ask, read, following)

        await self._client.load()
        return await begun_within(self._configured.limits, reading)

    async def whole(self, ask: Ask) -> Reply:
        return await self._replied(ask, lambda client: client.responses.create(**self._request(ask)))

    async def close(self) -> None:
        await self._client.close()

    async def _replied(self, ask: Ask, read: Any, following: _Following | None = None) -> Reply:
        draft = Draft(ask, provider=self.name, model=self.model(ask.tier))
        try:
            response = await self._client.call(read, following)
            return draft.reply(self._taken(response, draft))
        except Overflowed:
            return draft.reply("overflow")

    def _taken(self, response: Any, draft: Draft) -> Stop:
        """Raises ProviderFault, Overflowed."""
        if not hasattr(response, "output"):
            raise ProviderFault("garbled", "the answer is none of its API")
        if response.status == "failed":
            error = response.error
            words = without_secrets(str(error.message), self._configured.key.reveal()) if error else "no reason given"
            raise coded(str(error.code) if error else "", words)
        stop = _stop(response)
        for item in response.output:
            refused = _take(item, draft, cut=stop == "length")
            stop = "refused" if refused else stop
        if response.usage is not None:
            draft.used(_usage(response.usage))
        return stop

    def _request(self, ask: Ask) -> Plain:
        request: Plain = {
            "model": self.model(ask.tier),
            "input": [item for each in ask.messages for item in _items(each, self.name)],
            "max_output_tokens": ask.tokens_max,
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if ask.system:
            request["instructions"] = "\n\n".join(each.text for each in ask.system)
            request["prompt_cache_key"] = _cache_key(ask)
        if ask.tools:
            request["tools"] = [_tool(each.name, each.summary, each.schema) for each in ask.tools]
            request["tool_choice"] = CHOICES[ask.calling]
        if ask.answer_schema is not None:
            form = {"type": "json_schema", "name": "answer", "schema": ask.answer_schema, "strict": True}
            request["text"] = {"format": form}
        return request


class _Following:
    """One stream. Its last event repeats the whole response, so the others are only passed on."""

    def __init__(self, heard: Heard, begun: Begun) -> None:
        self._heard = heard
        self._begun = begun
        self._response: Any = None
        self._open: set[int] = set()
        self.seen = False

    @property
    def amid_call(self) -> bool:
        return bool(self._open) and self._response is None

    async def take(self, event: Any) -> None:
        self.seen = True
        match event.type:
            case "response.output_item.added":
                self._begun()
                if event.item.type == "function_call":
                    self._open.add(event.output_index)
            case "response.output_item.done":
                self._open.discard(event.output_index)
            case "response.output_text.delta" | "response.refusal.delta":
                await self._heard.text(event.delta)
            case "error":
                raise coded(str(event.code or ""), "no reason given")
            case name if name in ENDS:
                self._response = event.response

    def response(self) -> Any:
        """Raises ProviderFault where the stream ended before the response did."""
        if self._response is None:
            raise ProviderFault(*(("cut", "the stream ended amid the answer") if self.seen else _GARBLED))
        return self._response


_GARBLED: Final = ("garbled", "the answer is none of its API")


def _stop(response: Any) -> Stop:
    if response.status != "incomplete":
        return "end"
    reason = response.incomplete_details.reason if response.incomplete_details else ""
    return "refused" if reason == "content_filter" else "length"


def _take(item: Any, draft: Draft, *, cut: bool) -> bool:
    """Whether the model declined."""
    match item.type:
        case "message":
            for part in item.content:
                draft.say(part.text if part.type == "output_text" else part.refusal)
            return any(part.type == "refusal" for part in item.content)
        case "function_call":
            draft.call(item.call_id, item.name, item.arguments, cut=cut)
        case _:
            draft.keep(item.to_dict(exclude_none=True))
    return False


def _items(message: Message, provider: str) -> list[Plain]:
    items = [_item(part, message.role, provider) for part in message.parts]
    return [each for each in items if each is not None]


def _item(part: object, role: str, provider: str) -> Plain | None:
    match part:
        case Said():
            return {"role": role, "content": part.text} if part.text else None
        case ToolCall():
            arguments = msgspec.json.encode(part.arguments).decode()
            return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}
        case ToolResult():
            return {"type": "function_call_output", "call_id": part.id, "output": part.content}
        case Kept():
            return part.raw if part.provider == provider else None
    raise TypeError(type(part))


def _tool(name: str, summary: str, schema: Plain) -> Plain:
    """Not strict: a strict schema has no optional members, and ours are those of the operations."""
    return {"type": "function", "name": name, "description": summary, "parameters": schema, "strict": False}


def _cache_key(ask: Ask) -> str:
    """Questions with the same beginning go where it is known already."""
    return hashlib.sha256(ask.system[0].text.encode()).hexdigest()[:32]


def _usage(usage: Any) -> Usage:
    """Of the input, `cached` and `written` are parts."""
    details = usage.input_tokens_details
    cached = details.cached_tokens or 0 if details else 0
    written = getattr(details, "cache_write_tokens", 0) or 0
    return Usage(
        fresh=max(0, usage.input_tokens - cached - written),
        cached=cached,
        written=written,
        output=usage.output_tokens,
    )
