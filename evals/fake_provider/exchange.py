"""As much HTTP/1.1 as an SDK needs, with the power to end a connection wherever a fault wants it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from evals.fake_provider.script import Json

BODY_BYTES_MAX: Final = 8 * 1024 * 1024


class BadRequest(Exception):
    """What the API would refuse; the text says why."""


class Exchange:
    """One request and its answer; the connection ends with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.method = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        self.raw = b""

    async def read(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.strip().split("\r\n")
        self.method, self.path, _ = first.split(" ", 2)
        self.headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        length = int(self.headers.get("content-length", "0"))
        assert length <= BODY_BYTES_MAX
        self.raw = await self._reader.readexactly(length)

    def body(self) -> Json:
        try:
            return msgspec.json.decode(self.raw, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body is no JSON object: {error}") from error

    async def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        self._writer.write(_head(status, told) + body)
        await self._writer.drain()

    async def answer_json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        await self.answer(status, msgspec.json.encode(body), headers)

    async def begin_events(self) -> None:
        told = {"content-type": "text/event-stream", "transfer-encoding": "chunked", "cache-control": "no-cache"}
        self._writer.write(_head(200, told))
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Each goes out by itself, as a provider's does."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def end_events(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def until_gone(self) -> None:
        """Until the caller hangs up."""
        while await self._reader.read(1024):
            pass

    async def close(self) -> None:
        """Where the last chunk was not written the caller sees a stream that ends in its middle."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
