"""Requests over asyncio's streams: a connection for each, so that any number may be under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from agent_api.client.errors import ApiUnreachable
from agent_api.client.message import ANSWER_BYTES_MAX, HttpReply, HttpRequest, Unreached, cause_of
from runtime.cluster.ports import split_address

CONNECT_TIMEOUT_S: Final = 5.0
LINE_BYTES_MAX: Final = 16 * 1024 * 1024  # an event with a snapshot of the state

PIECE_BYTES: Final = 256 * 1024
CONTINUE: Final = 100

Head = tuple[int, str, dict[str, str]]
"""Status, reason and headers."""

Faults = (OSError, EOFError, ValueError, TimeoutError)
"""What a broken connection and an answer that is no HTTP raise."""


async def send(address: str, request: HttpRequest) -> HttpReply | Unreached:
    """Whatever came."""
    try:
        reader, writer = await _connected(address)
    except (OSError, TimeoutError) as error:
        return Unreached(cause=cause_of(error), sent=False)
    try:
        async with asyncio.timeout(request.timeout_s):
            status, reason, headers = await _asked(reader, writer, address, request)
            body = await _body(reader, headers, request.method)
    except Faults as error:
        return Unreached(cause=cause_of(error), sent=True)
    finally:
        writer.close()
    return HttpReply(status=status, reason=reason, headers=headers, body=body)


async def stream(address: str, request: HttpRequest) -> AsyncIterator[bytes]:
    """The lines of an answer without end. Raises ApiRefused or ApiUnreachable."""
    try:
        reader, writer = await _connected(address)
    except (OSError, TimeoutError) as error:
        raise ApiUnreachable(address, cause_of(error)) from error
    try:
        async with asyncio.timeout(request.timeout_s):
            status, reason, headers = await _asked(reader, writer, address, request)
        if status >= 400:
            body = await _body(reader, headers, request.method)
            fault = HttpReply(status=status, reason=reason, body=body).fault()
            assert fault is not None
            raise fault
        async for line in _lines(reader, headers, request.timeout_s):
            yield line
    except Faults as error:
        raise ApiUnreachable(address, cause_of(error)) from error
    finally:
        writer.close()


async def _connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = split_address(address)
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)


async def _asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, request: HttpRequest
) -> Head:
    """A body that comes in pieces is sent once the other side wants it: a refusal is told before that."""
    whole = isinstance(request.body, bytes)
    writer.write(_head_bytes(address, request, {} if whole else {"expect": "100-continue"}))
    if isinstance(request.body, bytes):
        writer.write(request.body)
        await writer.drain()
        return await _final_head(reader)
    head = await _head(reader)
    if head[0] != CONTINUE:
        return head
    for piece in request.body:
        writer.write(piece)
        await writer.drain()
    return await _final_head(reader)


def _head_bytes(address: str, request: HttpRequest, more: Mapping[str, str]) -> bytes:
    fields = {"host": address, "connection": "close", **request.headers, **more}
    if isinstance(request.body, bytes) and (request.body or request.method != "GET"):
        fields["content-length"] = str(len(request.body))
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def _final_head(reader: asyncio.StreamReader) -> Head:
    while True:
        head = await _head(reader)
        if head[0] >= 200:
            return head


async def _head(reader: asyncio.StreamReader) -> Head:
    """Raises ValueError for what is no HTTP."""
    version, _, rest = (await reader.readuntil(b"\r\n")).decode("latin-1").strip().partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"no HTTP: {version[:40]!r}")
    status, _, reason = rest.partition(" ")
    headers: dict[str, str] = {}
    while line := (await reader.readuntil(b"\r\n")).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(status), reason, headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], method: str) -> bytes:
    if method == "HEAD":
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunked(reader)
    if "content-length" in headers:
        length = int(headers["content-length"])
        if length > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has {length} bytes, more than {ANSWER_BYTES_MAX}")
        return await reader.readexactly(length)
    return await _to_the_end(reader)


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    """Raises ValueError for more than an answer may have."""
    parts, size = [], 0
    while piece := await reader.read(PIECE_BYTES):
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        parts.append(piece)
    return b"".join(parts)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while piece := await _chunk(reader):
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        parts.append(piece)
    return b"".join(parts)


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """Empty for the last one."""
    length = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
    if length > ANSWER_BYTES_MAX:
        raise ValueError(f"a chunk of {length} bytes")
    piece = await reader.readexactly(length)
    await reader.readuntil(b"\r\n")
    return piece


async def _lines(reader: asyncio.StreamReader, headers: Mapping[str, str], silent_s: float) -> AsyncIterator[bytes]:
    """Lines of a body that may come in chunks, wherever these are cut."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        while True:
            async with asyncio.timeout(silent_s):
                line = await reader.readline()
            if not line:
                return
            yield line
    left = b""
    while True:
        async with asyncio.timeout(silent_s):
            piece = await _chunk(reader)
        if not piece:
            return
        *whole, left = (left + piece).split(b"\n")
        if len(left) > LINE_BYTES_MAX:
            raise ValueError("a line without end")
        for line in whole:
            yield line + b"\n"
