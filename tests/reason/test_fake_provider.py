"""The makers' own clients understand the fake provider: what it says, the tools it calls, and its faults."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from evals.fake_provider.script import Called, Line, by_rules, in_turn
from evals.fake_provider.server import KEY, FakeProvider

pytestmark = pytest.mark.anyio

LOOK = Called(name="service_get", arguments={"name": "orders"})
SCRIPT = (Line(says="I look first.", calls=(LOOK,)), Line(says="It lacks memory.", when="orders"))
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def _anthropic(provider: FakeProvider, key: str = KEY) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=key, base_url=provider.url, max_retries=0)


def _openai(provider: FakeProvider) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{provider.url}/v1", max_retries=0)


async def test_messages_are_told_whole_and_streamed() -> None:
    tool: Any = {"name": "service_get", "input_schema": SCHEMA}
    asked: list[Any] = [{"role": "user", "content": "why are orders slow?"}]
    async with FakeProvider(by_rules(SCRIPT)).serving() as provider, _anthropic(provider) as client:
        async with client.messages.stream(model="m", max_tokens=99, messages=asked, tools=[tool]) as stream:
            words = "".join([each async for each in stream.text_stream])
            first = await stream.get_final_message()
        assert (words, first.stop_reason, first.content[1].type) == ("I look first.", "tool_use", "tool_use")
        call: Any = first.content[1]
        assert call.input == LOOK.arguments
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "orders: 512 MiB of 512 MiB"}
        asked += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        second = await client.messages.create(model="m", max_tokens=99, messages=asked, tools=[tool])
    assert [each.text for each in second.content if each.type == "text"] == ["It lacks memory."]
    assert provider.seen[1].results[0].content == "orders: 512 MiB of 512 MiB"


async def test_responses_are_told_whole_and_streamed() -> None:
    tool: Any = {"type": "function", "name": "service_get", "parameters": SCHEMA, "strict": True}
    asked: list[Any] = [{"role": "user", "content": "why are orders slow?"}]
    async with FakeProvider(by_rules(SCRIPT)).serving() as provider, _openai(provider) as client:
        async with client.responses.stream(model="m", input=asked, tools=[tool]) as stream:
            words = "".join([each.delta async for each in stream if each.type == "response.output_text.delta"])
            first = await stream.get_final_response()
        call: Any = first.output[1]
        assert (words, call.name, call.arguments) == ("I look first.", "service_get", '{"name":"orders"}')
        asked += [each.model_dump(exclude_none=True) for each in first.output]
        asked += [{"type": "function_call_output", "call_id": call.call_id, "output": "orders: 512 MiB"}]
        second = await client.responses.create(model="m", input=asked, tools=[tool])
    assert second.output_text == "It lacks memory."


async def test_completions_are_told_whole_and_streamed() -> None:
    tool: Any = {"type": "function", "function": {"name": "service_get", "parameters": SCHEMA}}
    asked: list[Any] = [{"role": "user", "content": "why are orders slow?"}]
    async with FakeProvider(by_rules(SCRIPT)).serving() as provider, _openai(provider) as client:
        async with client.chat.completions.stream(model="m", messages=asked, tools=[tool]) as stream:
            await stream.until_done()
            first = (await stream.get_final_completion()).choices[0].message
        assert first.tool_calls is not None
        call: Any = first.tool_calls[0]
        assert (first.content, call.function.arguments) == ("I look first.", '{"name":"orders"}')
        told = {"id": call.id, "type": "function", "function": {"name": "service_get", "arguments": "{}"}}
        asked += [{"role": "assistant", "content": first.content, "tool_calls": [told]}]
        asked += [{"role": "tool", "tool_call_id": call.id, "content": "orders: 512 MiB"}]
        second = await client.chat.completions.create(model="m", messages=asked, tools=[tool])
    assert second.choices[0].message.content == "It lacks memory."


async def test_what_the_real_ones_would_refuse_is_refused() -> None:
    async with FakeProvider(in_turn()).serving() as provider:
        async with _anthropic(provider, "wrong") as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}])
        async with _openai(provider) as client:
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(
                    model="m", messages=[{"role": "tool", "tool_call_id": "none", "content": "of no call"}]
                )
