"""The load of the store's benchmark, in a process of its own: closed loops that write, read or fill.

Reads lines {"do": …, "clients": n, "seconds": s} and answers each with a line of figures; ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

VALUE_BYTES: Final = 256
KEYS: Final = 1_000  # written and read again and again
PARTS: Final = 16  # of the key space, so that a hundred thousand keys keep within the quota of each
FILL_CLIENTS: Final = 128


def key_of(number: int) -> str:
    return f"database/bench-{number % PARTS}/key-{number:08}"


class Target(Protocol):
    """One client of the system that is measured."""

    async def put(self, key: str, value: bytes) -> None: ...

    async def get(self, key: str) -> None: ...

    async def close(self) -> None: ...


class Failed(Exception):
    """A request failed; not one may, while nothing is killed."""


class Wanted:
    """What one line asks for."""

    def __init__(self, line: str) -> None:
        asked = json.loads(line)
        self.do = str(asked["do"])
        self.clients = int(asked.get("clients", FILL_CLIENTS))
        self.seconds = float(asked.get("seconds", 0.0))
        self.count = int(asked.get("count", 0))
        self.pace_s = float(asked.get("pace_s", 0.0))  # between the requests of one client
        self.patient = bool(asked.get("patient", False))  # failures are what is measured


class Drive:
    """One run: how long each request took, and the longest time in which none succeeded."""

    def __init__(self, target: Target, wanted: Wanted, values: list[bytes]) -> None:
        self._target, self._wanted, self._values = target, wanted, values
        self._next = 0
        self._times: list[float] = []
        self._errors = 0
        self._gap_s = 0.0
        self._last = self._end = 0.0

    async def run(self) -> dict[str, float]:
        began = self._last = time.monotonic()
        self._end = began + self._wanted.seconds
        one = self._read if self._wanted.do == "read" else self._write
        await asyncio.gather(*(self._loop(one) for _ in range(self._wanted.clients)))
        taken = time.monotonic() - began
        self._gap_s = max(self._gap_s, time.monotonic() - self._last)
        self._times.sort()
        count = len(self._times)
        p50, p99 = (self._times[int(count * share)] if count else 0.0 for share in (0.5, 0.99))
        return {
            "requests": count,
            "seconds": taken,
            "p50_us": p50 * 1e6,
            "p99_us": p99 * 1e6,
            "errors": self._errors,
            "gap_ms": self._gap_s * 1e3,
        }

    async def _loop(self, one: Callable[[int], Awaitable[None]]) -> None:
        filling = self._wanted.do == "fill"
        while self._next < self._wanted.count if filling else time.monotonic() < self._end:
            number = self._next
            self._next += 1
            begun = time.monotonic()
            try:
                await one(number if filling else number % KEYS)
            except Exception as error:
                if not self._wanted.patient:
                    raise Failed(f"{type(error).__name__}: {error}") from error
                self._errors += 1
                continue
            now = time.monotonic()
            self._times.append(now - begun)
            self._gap_s = max(self._gap_s, now - self._last)
            self._last = now
            if self._wanted.pace_s:
                await asyncio.sleep(self._wanted.pace_s)

    async def _write(self, number: int) -> None:
        await self._target.put(key_of(number), self._values[number % len(self._values)])

    async def _read(self, number: int) -> None:
        await self._target.get(key_of(number))


async def serve(connect: Callable[[], Awaitable[Target]]) -> None:
    """Values are random text, so that nothing gains by compressing them."""
    import random

    choice = random.Random(7)  # noqa: S311  the same values in every run, nothing secret
    values = [choice.randbytes(VALUE_BYTES // 2).hex().encode() for _ in range(64)]
    loop = asyncio.get_running_loop()
    target = await connect()
    await target.put(key_of(0), values[0])
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer: dict[str, object] = {**await Drive(target, Wanted(line), values).run()}
        except Failed as failure:
            answer = {"failed": str(failure)}
        print(json.dumps(answer), flush=True)
    await target.close()


async def connect_store(data: Path) -> Target:
    from evals.bench.store_targets import StoreTarget

    return StoreTarget(data)


async def connect_etcd(addresses: str, tls: Path) -> Target:
    from evals.bench.store_targets import EtcdTarget

    return EtcdTarget(addresses, tls)


def main() -> int:
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path)
    parser.add_argument("--etcd", default="")
    parser.add_argument("--tls", type=Path, default=Path())
    arguments = parser.parse_args()
    if arguments.store is not None:
        uvloop.run(serve(lambda: connect_store(arguments.store)))
    else:
        asyncio.run(serve(lambda: connect_etcd(arguments.etcd, arguments.tls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
