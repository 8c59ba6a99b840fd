"""A load client in the manner of wrk, for machines without wrk: a process of its own, N connections, always one
request under way on each. Plain epoll, as little work per answer as Python allows.

Prints one JSON object: {"requests": n, "errors": n, "seconds": s, "p50_us": n, "p99_us": n}.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from typing import Final

from runtime.telemetry.histogram import Histogram

RECEIVE_BYTES: Final = 65_536
POLL_S: Final = 0.1
STALL_S: Final = 15.0  # longer than any deadline: a server that says nothing this long has failed


class Lane:
    """One connection and the answer that is arriving on it."""

    __slots__ = ("buffer", "sent_at", "sock")

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=STALL_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.sock.sendall(request)


def whole_answer(buffer: bytes) -> tuple[int, int]:
    """(status, length) of the first answer in the buffer; (0, 0) while it is not complete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return 0, 0
    head = buffer[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("the answer has no content-length")
    stop = head.find(b"\r\n", at + 2)
    length = end + 4 + int(head[at + 17 : stop if stop >= 0 else end])
    return (int(head[9:12]), length) if len(buffer) >= length else (0, 0)


def drive(address: tuple[str, int], request: bytes, *, connections: int, seconds: float) -> dict[str, float]:
    """Raises OSError when nobody listens and ValueError for answers that are none."""
    poll = select.epoll()
    lanes = {lane.sock.fileno(): lane for lane in (Lane(address) for _ in range(connections))}
    for number, lane in lanes.items():
        poll.register(number, select.EPOLLIN)
        lane.send(request)
    latency, requests, errors = Histogram(), 0, 0
    began = time.perf_counter()
    end = began + seconds
    last = began
    while (now := time.perf_counter()) < end:
        for number, _ in poll.poll(POLL_S):
            lane = lanes[number]
            piece = lane.sock.recv(RECEIVE_BYTES)
            if not piece:
                raise ConnectionError("the server closed a connection")
            lane.buffer += piece
            status, length = whole_answer(lane.buffer)
            if not status:
                continue
            last = time.perf_counter()
            latency.record(int((last - lane.sent_at) * 1e6))
            requests += 1
            errors += status != 200
            lane.buffer = lane.buffer[length:]
            lane.send(request)
        if now - last > STALL_S:
            raise ConnectionError(f"no answer for {STALL_S:g} s")
    taken = time.perf_counter() - began
    p50_us, p99_us = latency.percentiles((0.5, 0.99))
    return {"requests": requests, "errors": errors, "seconds": taken, "p50_us": p50_us, "p99_us": p99_us}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="host:port")
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    body = sys.stdin.buffer.read()
    host, _, port = arguments.address.rpartition(":")
    request = (
        f"POST {arguments.path} HTTP/1.1\r\nhost: {arguments.address}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    figures = drive((host, int(port)), request, connections=arguments.connections, seconds=arguments.seconds)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
