"""The server: three APIs on one loopback port, one script behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from evals.fake_provider import chat, messages, responses
from evals.fake_provider.exchange import BadRequest, Exchange
from evals.fake_provider.script import Line, Script, Seen

KEY: Final = "sk-canary-0123456789abcdef0123456789"
"""The key that it takes. Whoever finds these letters in a log, an error or the state has found a leak."""

Speaker = messages.Messages | responses.Responses | chat.Chat


class FakeProvider:
    """`url` is its root. `seen` are all requests, those that a fault met too; `began_s` says when each streamed answer
    began, by the monotonic clock. pace_s: between two events of a stream, as a model takes its time."""

    def __init__(self, script: Script, *, key: str = KEY, pace_s: float = 0.0) -> None:
        self.script = script
        self.began_s: list[float] = []
        self._pace_s = pace_s
        self.seen: list[Seen] = []
        self.refused: list[str] = []
        self.url = ""
        self._key = key
        self._speakers: dict[str, Speaker] = {
            messages.PATH: messages.Messages(),
            responses.PATH: responses.Responses(),
            chat.PATH: chat.Chat(),
        }

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[FakeProvider]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(reader, writer)
        try:
            await exchange.read()
            await self._answer(exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller went: its time was up
        finally:
            await exchange.close()

    async def _answer(self, exchange: Exchange) -> None:
        speaker = self._speakers.get(exchange.path)
        if speaker is None or exchange.method != "POST":
            await exchange.answer_json(404, {"error": {"message": f"no {exchange.path} here"}})
            return
        if _key(exchange) != self._key:
            await exchange.answer_json(401, speaker.error(401, "invalid x-api-key"))
            return
        try:
            seen = speaker.seen(exchange)
        except BadRequest as refused:
            self.refused.append(str(refused))
            await exchange.answer_json(400, speaker.error(400, str(refused)))
            return
        self.seen.append(seen)
        await self._say(exchange, speaker, self.script(seen), seen)

    async def _say(self, exchange: Exchange, speaker: Speaker, line: Line, seen: Seen) -> None:
        match line.fault:
            case "status":
                headers = {"retry-after": line.retry_after} if line.retry_after else {}
                await exchange.answer_json(line.status, speaker.error(line.status, "as the script says"), headers)
            case "overflow":
                await exchange.answer_json(400, speaker.overflow())
            case "garbled":
                await exchange.answer(200, b"<html>It works!</html>", {"content-type": "text/html"})
            case "hang_up":
                pass
            case "slow":
                if seen.stream:
                    await exchange.begin_events()
                await exchange.until_gone()
            case _ if seen.stream:
                await self._stream(exchange, speaker, line, seen)
            case _:
                await exchange.answer_json(200, speaker.whole(line, seen))

    async def _stream(self, exchange: Exchange, speaker: Speaker, line: Line, seen: Seen) -> None:
        events = list(speaker.events(line, seen))
        await exchange.begin_events()
        self.began_s.append(time.monotonic())
        for each in events[: _cut_at(events)] if line.fault == "cut" else events:
            await exchange.chunk(each)
            if self._pace_s:
                await asyncio.sleep(self._pace_s)
        if line.fault != "cut":
            await exchange.end_events()


def _key(exchange: Exchange) -> str:
    """As today's clients send it, or as Anthropic's used to."""
    return exchange.headers.get("authorization", "").removeprefix("Bearer ") or exchange.headers.get("x-api-key", "")


def _cut_at(events: list[bytes]) -> int:
    """Amid the last call's arguments, or else amid the words."""
    marks = (b"partial_json", b"function_call_arguments.delta", b'"arguments":"', b"delta")
    for mark in marks:
        at = [n for n, each in enumerate(events) if mark in each]
        if at:
            return at[0] + max(1, len(at) // 2)
    return len(events) // 2
