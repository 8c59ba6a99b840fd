"""Anthropic's Messages API, as a fake speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from evals.fake_provider.exchange import BadRequest, Exchange
from evals.fake_provider.script import Json, Line, Result, Seen, pieces, tokens

PATH: Final = "/v1/messages"
KNOWN: Final = {
    "cache_control", "max_tokens", "messages", "metadata", "model", "output_config", "stop_sequences", "stream",
    "system", "thinking", "tool_choice", "tools",
}  # fmt: skip
STOPS: Final = {
    "length": "max_tokens",
    "refused": "refusal",
    "paused": "pause_turn",
    "overflow": "model_context_window_exceeded",
}


class Messages:
    """Keeps which beginnings it has cached, as the real one does for five minutes."""

    def __init__(self) -> None:
        self._cached: set[str] = set()

    def seen(self, exchange: Exchange) -> Seen:
        """Raises BadRequest for what the API would refuse."""
        body: Any = exchange.body()
        _check(body)
        last = body["messages"][-1]
        blocks = _blocks(last["content"])
        return Seen(
            api="messages",
            model=body["model"],
            system="\n".join(each["text"] for each in _blocks(body.get("system", []))),
            said="\n".join(each["text"] for each in blocks if each["type"] == "text"),
            results=tuple(
                Result(id=each["tool_use_id"], content=each["content"])
                for each in blocks
                if each["type"] == "tool_result"
            ),
            tools=tuple(each["name"] for each in body.get("tools", [])),
            stream=body.get("stream", False),
            body=body,
            headers=exchange.headers,
        )

    def whole(self, line: Line, seen: Seen) -> Json:
        return _message(line, seen, self._usage(line, seen))

    def events(self, line: Line, seen: Seen) -> Iterator[bytes]:
        usage = self._usage(line, seen)
        empty = {**_message(line, seen, {**usage, "output_tokens": 1}), "content": [], "stop_reason": None}
        yield _event("message_start", {"message": empty})
        yield _event("ping", {})
        for index, block in enumerate(_content(line, seen)):
            yield from _block_events(index, block, line)
        delta = {"stop_reason": _stop(line), "stop_sequence": None}
        yield _event("message_delta", {"delta": delta, "usage": {"output_tokens": usage["output_tokens"]}})
        yield _event("message_stop", {})

    def error(self, status: int, detail: str, kind: str = "") -> Json:
        kinds = {
            429: "rate_limit_error",
            401: "authentication_error",
            400: "invalid_request_error",
            529: "overloaded_error",
        }
        return {"type": "error", "error": {"type": kind or kinds.get(status, "api_error"), "message": detail}}

    def overflow(self) -> Json:
        return self.error(400, "prompt is too long: 212345 tokens > 200000 maximum")

    def _usage(self, line: Line, seen: Seen) -> dict[str, int]:
        prefix, rest = _split_at_mark(seen.body)
        known = prefix in self._cached
        if prefix:
            self._cached.add(prefix)
        kept = tokens(prefix) if prefix else 0
        return {
            "input_tokens": tokens(rest),
            "cache_read_input_tokens": kept if known else 0,
            "cache_creation_input_tokens": 0 if known else kept,
            "output_tokens": tokens(line.says + line.thinks + "".join(each.written for each in line.calls)),
        }


def _check(body: Any) -> None:
    unknown = set(body) - KNOWN
    if unknown:
        raise BadRequest(f"{min(unknown)}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise BadRequest(f"{name}: Field required")
    waiting: set[str] = set()
    wanted = "user"
    for each in body["messages"]:
        if each["role"] != wanted:
            raise BadRequest("messages: roles must alternate, and user comes first")
        wanted = "assistant" if wanted == "user" else "user"
        blocks = _blocks(each["content"])
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if answered != waiting:
            raise BadRequest("messages: each tool_use must have one tool_result in the next message")
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
    if wanted == "user" and _blocks(body["messages"][-1]["content"])[-1]["type"] == "tool_use":
        raise BadRequest("messages: each tool_use must have one tool_result in the next message")


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _split_at_mark(body: Any) -> tuple[str, str]:
    """What stands up to the last cache mark, and what after it, in the order of the API: tools, system, messages."""
    parts = [*body.get("tools", []), *_blocks(body.get("system", []))]
    parts += [block for each in body["messages"] for block in _blocks(each["content"])]
    marked = [at for at, each in enumerate(parts) if "cache_control" in each]
    at = marked[-1] + 1 if marked else 0
    bare = [msgspec.json.encode({k: v for k, v in each.items() if k != "cache_control"}).decode() for each in parts]
    return "".join(bare[:at]), "".join(bare[at:])


def _message(line: Line, seen: Seen, usage: dict[str, int]) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": seen.model,
        "content": _content(line, seen),
        "stop_reason": _stop(line),
        "stop_sequence": None,
        "usage": usage,
    }


def _content(line: Line, seen: Seen) -> list[Json]:
    blocks: list[Json] = []
    if line.thinks:
        blocks.append({"type": "thinking", "thinking": line.thinks, "signature": "c2lnbmVk"})
    if line.says:
        blocks.append({"type": "text", "text": line.says})
    at = len(seen.body["messages"])  # type: ignore[arg-type]  # a list: checked
    for index, each in enumerate(line.calls):
        block: Json = {"type": "tool_use", "id": f"toolu_{at}_{index}", "name": each.name, "input": each.arguments}
        blocks.append({**block, "input": each.raw} if each.raw else block)
    return blocks


def _block_events(index: int, block: Json, line: Line) -> Iterator[bytes]:
    match block["type"]:
        case "text":
            start: Json = {"type": "text", "text": ""}
            deltas: list[Json] = [{"type": "text_delta", "text": each} for each in pieces(str(block["text"]))]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": each} for each in pieces(str(block["thinking"]))]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case _:
            start = {**block, "input": {}}
            written = (
                block["input"] if isinstance(block["input"], str) else msgspec.json.encode(block["input"]).decode()
            )
            deltas = [{"type": "input_json_delta", "partial_json": each} for each in pieces(written)]
    yield _event("content_block_start", {"index": index, "content_block": start})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _stop(line: Line) -> str:
    return STOPS.get(line.ending) or ("tool_use" if line.calls else "end_turn")


def _event(name: str, members: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **members}))
