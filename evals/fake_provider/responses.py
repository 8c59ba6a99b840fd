"""OpenAI's Responses API, as a fake speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from evals.fake_provider.exchange import BadRequest, Exchange
from evals.fake_provider.script import Json, Line, Result, Seen, pieces, tokens

PATH: Final = "/v1/responses"
INCOMPLETE: Final = {"length": "max_output_tokens"}


class Responses:
    def seen(self, exchange: Exchange) -> Seen:
        """Raises BadRequest for what the API would refuse."""
        body: Any = exchange.body()
        items = _checked(body)
        at = max((n for n, each in enumerate(items) if _of_model(each)), default=-1)
        last = items[at + 1 :]
        return Seen(
            api="responses",
            model=body["model"],
            system=body.get("instructions") or "",
            said="\n".join(str(each["content"]) for each in last if each.get("role") == "user"),
            results=tuple(
                Result(id=each["call_id"], content=each["output"])
                for each in last
                if each.get("type") == "function_call_output"
            ),
            tools=tuple(each["name"] for each in body.get("tools", [])),
            stream=body.get("stream", False),
            body=body,
            headers=exchange.headers,
        )

    def whole(self, line: Line, seen: Seen) -> Json:
        response = _response(line, seen)
        return {**response, "output": _output(line, seen), "usage": _usage(line, seen)}

    def events(self, line: Line, seen: Seen) -> Iterator[bytes]:
        numbered = _Numbered()
        begun = {**_response(line, seen), "status": "in_progress", "incomplete_details": None, "output": []}
        yield numbered.event("response.created", {"response": begun})
        yield numbered.event("response.in_progress", {"response": begun})
        for index, item in enumerate(_output(line, seen)):
            yield from _item_events(numbered, index, item)
        whole = self.whole(line, seen)
        yield numbered.event(f"response.{whole['status']}", {"response": whole})

    def error(self, status: int, detail: str, kind: str = "") -> Json:
        kinds = {429: "rate_limit_exceeded", 401: "invalid_api_key"}
        return {"error": {"message": detail, "type": "error", "param": None, "code": kind or kinds.get(status)}}

    def overflow(self) -> Json:
        return self.error(400, "Your input exceeds the context window of this model.", "context_length_exceeded")


class _Numbered:
    def __init__(self) -> None:
        self._next = 0

    def event(self, name: str, members: Json) -> bytes:
        told = {"type": name, "sequence_number": self._next, **members}
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(told))


def _checked(body: Any) -> list[Any]:
    for name in ("model", "input"):
        if name not in body:
            raise BadRequest(f"Missing required parameter: '{name}'")
    items: list[Any] = (
        body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    )
    called = {each["call_id"] for each in items if each.get("type") == "function_call"}
    answered = {each["call_id"] for each in items if each.get("type") == "function_call_output"}
    if called != answered:
        raise BadRequest(f"No tool output found for function call {min(called ^ answered)}.")
    if any(each.get("type") == "reasoning" and not each.get("encrypted_content") for each in items):
        raise BadRequest("Items are not persisted when `store` is set to false.")
    return items


def _of_model(item: Any) -> bool:
    return item.get("role") == "assistant" or item.get("type") in ("function_call", "reasoning", "message")


def _response(line: Line, seen: Seen) -> Json:
    reason = INCOMPLETE.get(line.ending)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": seen.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _output(line: Line, seen: Seen) -> list[Json]:
    at = len(seen.body["input"])  # type: ignore[arg-type]  # a list: checked
    items: list[Json] = []
    if line.thinks:
        kept: Json = {"type": "reasoning", "id": f"rs_{at}", "summary": []}
        wanted = "reasoning.encrypted_content" in (seen.body.get("include") or ())  # type: ignore[operator]
        items.append({**kept, "encrypted_content": "c2VhbGVk"} if wanted else kept)
    if line.says:
        kind, member = ("refusal", "refusal") if line.ending == "refused" else ("output_text", "text")
        part: Json = {"type": kind, member: line.says}
        content = part if kind == "refusal" else {**part, "annotations": [], "logprobs": []}
        items.append(
            {
                "type": "message",
                "id": f"msg_{at}",
                "role": "assistant",
                "status": "completed",
                "content": [content],
            }
        )
    for index, each in enumerate(line.calls):
        called: Json = {
            "type": "function_call",
            "id": f"fc_{at}_{index}",
            "call_id": f"call_{at}_{index}",
            "status": "completed",
        }
        items.append({**called, "name": each.name, "arguments": each.written})
    return items


def _item_events(numbered: _Numbered, index: int, item: Any) -> Iterator[bytes]:
    where = {"output_index": index}
    of = {"item_id": item["id"], **where}
    match item["type"]:
        case "message":
            part = item["content"][0]
            text = part.get("text", part.get("refusal"))
            kind = "output_text" if part["type"] == "output_text" else "refusal"
            of["content_index"] = 0
            yield numbered.event("response.output_item.added", {"item": {**item, "content": []}, **where})
            yield numbered.event("response.content_part.added", {"part": {**part, **_emptied(part)}, **of})
            for each in pieces(text):
                yield numbered.event(f"response.{kind}.delta", {"delta": each, "logprobs": [], **of})
            yield numbered.event(
                f"response.{kind}.done", {"logprobs": [], **part, "type": f"response.{kind}.done", **of}
            )
            yield numbered.event("response.content_part.done", {"part": part, **of})
        case "function_call":
            yield numbered.event("response.output_item.added", {"item": {**item, "arguments": ""}, **where})
            for each in pieces(item["arguments"]):
                yield numbered.event("response.function_call_arguments.delta", {"delta": each, **of})
            whole = {"arguments": item["arguments"], "name": item["name"]}
            yield numbered.event("response.function_call_arguments.done", {**whole, **of})
        case _:
            yield numbered.event("response.output_item.added", {"item": item, **where})
    yield numbered.event("response.output_item.done", {"item": item, **where})


def _emptied(part: Any) -> Json:
    return {"text": ""} if part["type"] == "output_text" else {"refusal": ""}


def _usage(line: Line, seen: Seen) -> Json:
    asked = tokens(msgspec.json.encode(seen.body).decode())
    thought = tokens(line.thinks) if line.thinks else 0
    written = tokens(line.says + "".join(each.written for each in line.calls)) + thought
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": asked // 2, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": asked + written,
    }
