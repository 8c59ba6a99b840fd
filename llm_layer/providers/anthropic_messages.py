"""Anthropic's models over the Messages API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from llm_layer.providers.configured import Configured
from llm_layer.providers.draft import Draft
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.limits import Begun, begun_within
from llm_layer.providers.messages import Ask, Message, Plain, Reply, Stop, Tier, Usage
from llm_layer.providers.messages_request import request_of
from llm_layer.providers.provider import Heard
from llm_layer.providers.vendor_client import Opened, VendorClient
from llm_layer.providers.vendor_faults import Overflowed

PAUSES_MAX: Final = 3  # of one answer that the model wants to go on with
STOPS: Final[dict[str, Stop]] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "calls",
    "max_tokens": "length",
    "refusal": "refused",
    "pause_turn": "paused",
    "model_context_window_exceeded": "overflow",
}


class AnthropicMessages:
    """Implements Provider."""

    def __init__(self, configured: Configured) -> None:
        self.name = configured.name
        self._configured = configured
        self._client = VendorClient(configured, _opened)

    def model(self, tier: Tier) -> str:
        return self._configured.model(tier)

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        async def reading(begun: Begun) -> Reply:
            return await self._answered(ask, lambda request, draft: self._streamed(request, draft, heard, begun))

        await self._client.load()
        return await begun_within(self._configured.limits, reading)

    async def whole(self, ask: Ask) -> Reply:
        return await self._answered(ask, self._whole)

    async def close(self) -> None:
        await self._client.close()

    async def _answered(self, ask: Ask, passing: Callable[[Plain, Draft], Awaitable[Stop]]) -> Reply:
        """Goes on where the model pauses: what it said so far is sent back, and its parts add up to one answer."""
        draft = Draft(ask, provider=self.name, model=self.model(ask.tier))
        stop: Stop = "paused"
        for _ in range(1 + PAUSES_MAX):
            said = (Message(role="assistant", parts=tuple(draft.parts)),) if draft.parts else ()
            request = request_of(ask, said, provider=self.name, model=self.model(ask.tier))
            try:
                stop = await passing(request, draft)
            except Overflowed:
                stop = "overflow"
            if stop != "paused":
                break
        return draft.reply(stop)

    async def _whole(self, request: Plain, draft: Draft) -> Stop:
        message: Any = await self._client.call(lambda client: client.messages.create(**request))
        if not hasattr(message, "content"):
            raise ProviderFault("garbled", "the answer is none of its API")
        draft.used(_usage(message.usage))
        stop = STOPS.get(message.stop_reason, "end")
        for block in message.content:
            if block.type == "text":
                draft.say(block.text)
            elif block.type == "tool_use":
                raw = block.input if isinstance(block.input, str) else msgspec.json.encode(block.input).decode()
                draft.call(block.id, block.name, raw, cut=stop == "length")
            else:
                draft.keep(block.to_dict())
        return stop

    async def _streamed(self, request: Plain, draft: Draft, heard: Heard, begun: Begun) -> Stop:
        writing = _Writing(draft, heard, begun)

        async def read(client: Any) -> None:
            async with await client.messages.create(**request, stream=True) as events:
                async for event in events:
                    await writing.take(event)
            writing.check_whole()

        await self._client.call(read, writing)
        return writing.finish()


class _Writing:
    """One streamed message. A block enters the draft once it is whole, a call once all are."""

    def __init__(self, draft: Draft, heard: Heard, begun: Begun) -> None:
        self._draft = draft
        self._heard = heard
        self._begun = begun
        self._block: dict[str, Any] = {}
        self._written: list[str] = []
        self._blocks: list[tuple[dict[str, Any], str]] = []
        self._usage: dict[str, int] = {}
        self._stop: Stop | None = None
        self._ended = False
        self.seen = False

    @property
    def amid_call(self) -> bool:
        return self._block.get("type") == "tool_use"

    async def take(self, event: Any) -> None:
        self.seen = True
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                self._begun()
                self._block, self._written = event.content_block.to_dict(), []
            case "content_block_delta":
                await self._grow(event.delta)
            case "content_block_stop":
                self._blocks.append((self._block, "".join(self._written)))
                self._block = {}
            case "message_delta":
                self._stop = STOPS.get(event.delta.stop_reason, "end")
                self._count(event.usage)
            case "message_stop":
                self._ended = True

    async def _grow(self, delta: Any) -> None:
        match delta.type:
            case "text_delta":
                self._written.append(delta.text)
                await self._heard.text(delta.text)
            case "input_json_delta":
                self._written.append(delta.partial_json)
            case "thinking_delta":
                self._written.append(delta.thinking)
            case "signature_delta":
                self._block["signature"] = delta.signature

    def _count(self, usage: Any) -> None:
        """The last told of each holds: a later event repeats what an earlier one began."""
        told = usage.to_dict()
        self._usage |= {name: each for name, each in told.items() if isinstance(each, int)}

    def check_whole(self) -> None:
        """Raises ProviderFault where the stream ended before the message did."""
        if not self.seen:
            raise ProviderFault("garbled", "the answer is none of its API")
        if not self._ended:
            raise ProviderFault("cut", "the stream ended amid the answer")

    def finish(self) -> Stop:
        stop = self._stop or "end"
        self._draft.used(_usage_of(self._usage))
        for block, written in self._blocks:
            match block["type"]:
                case "text":
                    self._draft.say(block.get("text", "") + written)
                case "tool_use":
                    self._draft.call(block["id"], block["name"], written, cut=stop == "length")
                case "thinking":
                    self._draft.keep({**block, "thinking": block.get("thinking", "") + written})
                case _:
                    self._draft.keep(block)
        return stop


def _usage(usage: Any) -> Usage:
    return _usage_of({name: each for name, each in usage.to_dict().items() if isinstance(each, int)})


def _usage_of(told: dict[str, int]) -> Usage:
    return Usage(
        fresh=told.get("input_tokens", 0),
        cached=told.get("cache_read_input_tokens", 0),
        written=told.get("cache_creation_input_tokens", 0),
        output=told.get("output_tokens", 0),
    )


def _opened(configured: Configured) -> Opened:
    import anthropic

    limits = configured.limits
    client = anthropic.AsyncAnthropic(
        api_key=configured.key.reveal(),
        base_url=configured.url or None,
        timeout=anthropic.Timeout(limits.total_s, connect=limits.connect_s),
        max_retries=0,  # ours say how often, and how long is waited
    )
    return client, (anthropic.AnthropicError,)
