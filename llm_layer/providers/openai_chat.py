"""Models behind any server that is compatible with Chat Completions: vLLM, Ollama, llama.cpp."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from llm_layer.providers.configured import Configured
from llm_layer.providers.draft import Draft
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.limits import Begun, begun_within
from llm_layer.providers.messages import Ask, Message, Plain, Reply, Said, Stop, Tier, ToolCall, ToolResult, Usage
from llm_layer.providers.openai_client import opened
from llm_layer.providers.provider import Heard
from llm_layer.providers.vendor_client import VendorClient
from llm_layer.providers.vendor_faults import Overflowed

CHOICES: Final = {"may": "auto", "must": "required", "never": "none"}
STOPS: Final[dict[str, Stop]] = {
    "stop": "end",
    "tool_calls": "calls",
    "function_call": "calls",
    "length": "length",
    "content_filter": "refused",
}


class OpenAiChat:
    """Implements Provider."""

    def __init__(self, configured: Configured) -> None:
        self.name = configured.name
        self._configured = configured
        self._client = VendorClient(configured, opened)

    def model(self, tier: Tier) -> str:
        return self._configured.model(tier)

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        async def reading(begun: Begun) -> Reply:
            writing = _Writing(heard, begun)
            request = {**self._request(ask), "stream": True, "stream_options": {"include_usage": True}}

            async def read(client: Any) -> None:
                async with await client.chat.completions.create(**request) as chunks:
                    async for chunk in chunks:
                        await writing.take(chunk)
                writing.check_whole()

            draft = self._draft(ask)
            try:
                await self._client.call(read, writing)
            except Overflowed:
                return draft.reply("overflow")
            return draft.reply(writing.finish(draft))

        await self._client.load()
        return await begun_within(self._configured.limits, reading)

    async def whole(self, ask: Ask) -> Reply:
        draft = self._draft(ask)
        try:
            completion: Any = await self._client.call(
                lambda client: client.chat.completions.create(**self._request(ask))
            )
        except Overflowed:
            return draft.reply("overflow")
        if not getattr(completion, "choices", None):
            raise ProviderFault("garbled", "the answer is none of its API")
        return draft.reply(_taken(completion, draft))

    async def close(self) -> None:
        await self._client.close()

    def _draft(self, ask: Ask) -> Draft:
        return Draft(ask, provider=self.name, model=self.model(ask.tier))

    def _request(self, ask: Ask) -> Plain:
        system = "\n\n".join(each.text for each in ask.system)
        messages: list[Plain] = [{"role": "system", "content": system}] if system else []
        request: Plain = {
            "model": self.model(ask.tier),
            "messages": messages + [told for each in ask.messages for told in _messages(each)],
            "max_tokens": ask.tokens_max,  # its newer name is not known to all of these servers
        }
        if ask.tools:
            request["tools"] = [
                {
                    "type": "function",
                    "function": {"name": each.name, "description": each.summary, "parameters": each.schema},
                }
                for each in ask.tools
            ]
            request["tool_choice"] = CHOICES[ask.calling]
        if ask.answer_schema is not None:
            form = {"name": "answer", "schema": ask.answer_schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        return request


class _Called(msgspec.Struct):
    id: str = ""
    name: str = ""
    written: str = ""


class _Writing:
    """One stream of chunks."""

    def __init__(self, heard: Heard, begun: Begun) -> None:
        self._heard = heard
        self._begun = begun
        self._text = ""
        self._refusal = ""
        self._calls: dict[int, _Called] = {}
        self._stop: Stop | None = None
        self._usage: Any = None
        self.seen = False

    @property
    def amid_call(self) -> bool:
        return bool(self._calls) and self._stop is None

    async def take(self, chunk: Any) -> None:
        self.seen = True
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            self._begun()
            await self._grow(choice.delta)
            if choice.finish_reason:
                self._stop = STOPS.get(choice.finish_reason, "end")

    async def _grow(self, delta: Any) -> None:
        if delta.content:
            self._text += delta.content
            await self._heard.text(delta.content)
        if delta.refusal:
            self._refusal += delta.refusal
            await self._heard.text(delta.refusal)
        for part in delta.tool_calls or ():
            call = self._calls.setdefault(part.index, _Called())
            call.id = part.id or call.id
            if part.function is not None:
                call.name = part.function.name or call.name
                call.written += part.function.arguments or ""

    def check_whole(self) -> None:
        """Raises ProviderFault where the stream ended before the answer did."""
        if not self.seen:
            raise ProviderFault("garbled", "the answer is none of its API")
        if self._stop is None:
            raise ProviderFault("cut", "the stream ended amid the answer")

    def finish(self, draft: Draft) -> Stop:
        stop = self._stop or "end"
        draft.say(self._text + self._refusal)
        for call in self._calls.values():
            draft.call(call.id, call.name, call.written, cut=stop == "length")
        if self._usage is not None:
            draft.used(_usage(self._usage))
        return "refused" if self._refusal else stop


def _taken(completion: Any, draft: Draft) -> Stop:
    choice = completion.choices[0]
    stop = STOPS.get(choice.finish_reason, "end")
    message = choice.message
    draft.say((message.content or "") + (message.refusal or ""))
    for each in message.tool_calls or ():
        draft.call(each.id, each.function.name, each.function.arguments, cut=stop == "length")
    if completion.usage is not None:
        draft.used(_usage(completion.usage))
    return "refused" if message.refusal else stop


def _messages(message: Message) -> list[Plain]:
    """Results are messages of their own, and come first."""
    said = "".join(each.text for each in message.parts if isinstance(each, Said))
    told: list[Plain] = [
        {"role": "tool", "tool_call_id": each.id, "content": each.content}
        for each in message.parts
        if isinstance(each, ToolResult)
    ]
    calls = [_call(each) for each in message.parts if isinstance(each, ToolCall)]
    if calls:
        told.append({"role": message.role, "content": said or None, "tool_calls": calls})
    elif said:
        told.append({"role": message.role, "content": said})
    return told


def _call(call: ToolCall) -> Plain:
    arguments = msgspec.json.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(usage: Any) -> Usage:
    """Of the prompt, what was cached is a part."""
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details is not None else 0
    return Usage(fresh=max(0, usage.prompt_tokens - cached), cached=cached, output=usage.completion_tokens)
