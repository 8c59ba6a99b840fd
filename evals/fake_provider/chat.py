"""OpenAI's Chat Completions API, as servers that are compatible with it speak it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from evals.fake_provider.exchange import BadRequest, Exchange
from evals.fake_provider.script import Json, Line, Result, Seen, pieces, tokens

PATH: Final = "/v1/chat/completions"
STOPS: Final = {"length": "length", "refused": "stop", "paused": "stop", "overflow": "length"}


class Chat:
    def seen(self, exchange: Exchange) -> Seen:
        """Raises BadRequest for what the API would refuse."""
        body: Any = exchange.body()
        _check(body)
        messages = body["messages"]
        at = max((n for n, each in enumerate(messages) if each["role"] == "assistant"), default=-1)
        return Seen(
            api="chat",
            model=body["model"],
            system="\n".join(each["content"] for each in messages if each["role"] == "system"),
            said="\n".join(each["content"] for each in messages[at + 1 :] if each["role"] == "user"),
            results=tuple(
                Result(id=each["tool_call_id"], content=each["content"])
                for each in messages[at + 1 :]
                if each["role"] == "tool"
            ),
            tools=tuple(each["function"]["name"] for each in body.get("tools", [])),
            stream=body.get("stream", False),
            body=body,
            headers=exchange.headers,
        )

    def whole(self, line: Line, seen: Seen) -> Json:
        message: Json = {"role": "assistant", "content": line.says or None}
        if line.ending == "refused":
            message = {"role": "assistant", "content": None, "refusal": line.says}
        if line.calls:
            message["tool_calls"] = _calls(line, seen)
        choice: Json = {"index": 0, "message": message, "finish_reason": _stop(line), "logprobs": None}
        return {**_about(seen, "chat.completion"), "choices": [choice], "usage": _usage(line, seen)}

    def events(self, line: Line, seen: Seen) -> Iterator[bytes]:
        yield _chunk(seen, {"role": "assistant", "content": ""})
        if line.thinks:  # as vLLM and llama.cpp tell reasoning
            yield from (_chunk(seen, {"reasoning_content": each}) for each in pieces(line.thinks))
        member = "refusal" if line.ending == "refused" else "content"
        yield from (_chunk(seen, {member: each}) for each in pieces(line.says))
        for index, call in enumerate(_calls(line, seen)):
            function: Any = call["function"]
            empty = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
            yield _chunk(seen, {"tool_calls": [empty]})
            for each in pieces(function["arguments"]):
                yield _chunk(seen, {"tool_calls": [{"index": index, "function": {"arguments": each}}]})
        yield _chunk(seen, {}, _stop(line))
        if (seen.body.get("stream_options") or {}).get("include_usage"):  # type: ignore[attr-defined]
            yield _data({**_about(seen, "chat.completion.chunk"), "choices": [], "usage": _usage(line, seen)})
        yield b"data: [DONE]\n\n"

    def error(self, status: int, detail: str, kind: str = "") -> Json:
        kinds = {429: "rate_limit_exceeded", 401: "invalid_api_key"}
        return {"error": {"message": detail, "type": "error", "param": None, "code": kind or kinds.get(status)}}

    def overflow(self) -> Json:
        return self.error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")


def _check(body: Any) -> None:
    for name in ("model", "messages"):
        if name not in body:
            raise BadRequest(f"Missing required parameter: '{name}'")
    waiting: set[str] = set()
    for each in body["messages"]:
        if each["role"] == "tool":
            if each["tool_call_id"] not in waiting:
                raise BadRequest("messages with role 'tool' must follow a message with 'tool_calls'")
            waiting.discard(each["tool_call_id"])
        elif waiting:
            raise BadRequest("an assistant message with 'tool_calls' must be followed by tool messages")
        waiting |= {call["id"] for call in each.get("tool_calls") or ()}
    if waiting:
        raise BadRequest("an assistant message with 'tool_calls' must be followed by tool messages")


def _calls(line: Line, seen: Seen) -> list[Json]:
    at = len(seen.body["messages"])  # type: ignore[arg-type]  # a list: checked
    return [
        {"id": f"call_{at}_{index}", "type": "function", "function": {"name": each.name, "arguments": each.written}}
        for index, each in enumerate(line.calls)
    ]


def _stop(line: Line) -> str:
    return STOPS.get(line.ending) or ("tool_calls" if line.calls else "stop")


def _usage(line: Line, seen: Seen) -> Json:
    asked = tokens(msgspec.json.encode(seen.body).decode())
    written = tokens(line.says + line.thinks + "".join(each.written for each in line.calls))
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _about(seen: Seen, kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": seen.model}


def _chunk(seen: Seen, delta: Json, stop: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": stop}
    return _data({**_about(seen, "chat.completion.chunk"), "choices": [choice]})


def _data(members: Json) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(members)
