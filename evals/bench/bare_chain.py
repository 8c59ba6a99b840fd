"""The processes of the bare chains: front (uvicorn, no routes), relay (onward to a Unix socket), back and caller.

Each prints "ready" once it takes work, and ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Final

import msgspec

from evals.bench.bare_frames import FrameCaller, FrameClient, FrameRelay, FrameServer
from evals.bench.order import EXAMPLE, Placed, PlaceOrder, place
from runtime.security.tls import client_context, server_context
from runtime.telemetry.histogram import Histogram

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS: Final = [(b"content-type", b"application/json")]
_json_decoder: Final = msgspec.json.Decoder(PlaceOrder)
_msgpack_decoder: Final = msgspec.msgpack.Decoder(PlaceOrder)
_placed_decoder: Final = msgspec.msgpack.Decoder(Placed)
_json_encoder: Final = msgspec.json.Encoder()
_msgpack_encoder: Final = msgspec.msgpack.Encoder()


async def handle_json(payload: bytes) -> bytes:
    return _json_encoder.encode(place(_json_decoder.decode(payload)))


async def handle_msgpack(payload: bytes) -> bytes:
    return _msgpack_encoder.encode(place(_msgpack_decoder.decode(payload)))


def order_of(payload: bytes) -> bytes:
    """What the calling handler asks the other one."""
    return _msgpack_encoder.encode(_json_decoder.decode(payload))


def reply_of(answer: bytes) -> bytes:
    return _json_encoder.encode(_placed_decoder.decode(answer))


async def connect(target: str, tls: Path | None) -> FrameClient:
    """`target` is a Unix socket's path, or host:port."""
    loop = asyncio.get_running_loop()
    if target.startswith("/"):
        return (await loop.create_unix_connection(FrameClient, target))[1]
    host, _, port = target.rpartition(":")
    context: ssl.SSLContext | None = client_context(tls) if tls else None
    return (await loop.create_connection(FrameClient, host, int(port), ssl=context))[1]


class Front:
    """A bare ASGI application: the body goes on, unread, and the reply comes back."""

    def __init__(self, client: FrameClient) -> None:
        self._client = client

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            piece = message.get("body", b"")
            assert isinstance(piece, bytes)
            body += piece
            if not message.get("more_body"):
                break
        reply = await self._client.call(body)
        length = (b"content-length", str(len(reply)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": reply})


async def run_front(listen: str, onward: str, tls: Path | None, relay: str, behind: str) -> None:
    """With `relay` it also passes the calls that come in there on to `behind`, as a gateway does for its slices."""
    import uvicorn

    if relay:
        further = await connect(behind, None)
        await asyncio.get_running_loop().create_unix_server(lambda: FrameRelay(further), relay)
        print("relays", flush=True)
        await _listens(onward)
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        Front(await connect(onward, tls)),
        host=host,
        port=int(port),
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup():
        loop = asyncio.get_running_loop()
        ending = loop.run_in_executor(None, sys.stdin.read)
        ending.add_done_callback(lambda _: setattr(server, "should_exit", True))
        loop.call_later(0.05, _announce, server)
        await server.serve()


async def _listens(path: str) -> None:
    """Waits for the handler that itself waits for the relay."""
    while not Path(path).exists():  # noqa: ASYNC110  another process's socket
        await asyncio.sleep(0.02)


def _announce(server: object) -> None:
    if getattr(server, "started", False):
        print("ready", flush=True)
    else:
        asyncio.get_running_loop().call_later(0.02, _announce, server)


async def run_back(listen: str, *, as_json: bool) -> None:
    handler = handle_json if as_json else handle_msgpack
    server = await asyncio.get_running_loop().create_unix_server(lambda: FrameServer(handler), listen)
    await _serve_until_told(server)


async def run_relay(listen: str, onward: str, tls: Path | None) -> None:
    client = await connect(onward, None)
    loop = asyncio.get_running_loop()
    if listen.startswith("/"):
        server = await loop.create_unix_server(lambda: FrameRelay(client), listen)
    else:
        host, _, port = listen.rpartition(":")
        context = server_context(tls) if tls else None
        server = await loop.create_server(lambda: FrameRelay(client), host, int(port), ssl=context)
    await _serve_until_told(server)


async def run_middle(listen: str, onward: str) -> None:
    """A handler that calls another one through the front."""
    client = await connect(onward, None)
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: FrameCaller(client, order_of, reply_of), listen
    )
    await _serve_until_told(server)


async def _serve_until_told(server: asyncio.Server) -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


async def run_caller(onward: str) -> None:
    """Reads lines {"seconds": s, "callers": n}, drives the chain so, and prints the figures."""
    client = await connect(onward, None)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = json.loads(line)
        latency = Histogram()
        began = time.perf_counter()
        end = began + wanted["seconds"]
        await asyncio.gather(*(_call(client, end, latency) for _ in range(wanted["callers"])))
        taken = time.perf_counter() - began
        p50_us, p99_us = latency.percentiles((0.5, 0.99))
        figures = {"requests": latency.count, "seconds": taken, "p50_us": p50_us, "p99_us": p99_us}
        print(json.dumps(figures), flush=True)


async def _call(client: FrameClient, end: float, latency: Histogram) -> None:
    while (begun := time.perf_counter()) < end:
        _placed_decoder.decode(await client.call(_msgpack_encoder.encode(EXAMPLE)))
        latency.record(int((time.perf_counter() - begun) * 1e6))


def main() -> int:
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("front", "relay", "middle", "back-json", "back-msgpack", "caller"))
    parser.add_argument("--listen", default="")
    parser.add_argument("--onward", default="")
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--relay", default="")
    parser.add_argument("--behind", default="")
    arguments = parser.parse_args()
    match arguments.role:
        case "front":
            uvloop.run(run_front(arguments.listen, arguments.onward, arguments.tls, arguments.relay, arguments.behind))
        case "middle":
            uvloop.run(run_middle(arguments.listen, arguments.onward))
        case "relay":
            uvloop.run(run_relay(arguments.listen, arguments.onward, arguments.tls))
        case "caller":
            uvloop.run(run_caller(arguments.onward))
        case role:
            uvloop.run(run_back(arguments.listen, as_json=role == "back-json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
