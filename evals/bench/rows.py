"""One way of serving the same request, as the benchmark sees it: how to drive it, and which processes pay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import anyio
import msgspec
from anyio.abc import Process

from evals.bench.order import BODY
from evals.bench.peers import PeerFailed, cpu_seconds, read_line

CONNECTIONS: Final = 32
PATH: Final = "/bench/orders"


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What a load client saw."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int = 0


Drive = Callable[[float], Awaitable[Driven]]


@dataclass(slots=True, kw_only=True)
class Row:
    """`name` as in the ratios; `drive(seconds)` loads it. `processes` are those that the request passes."""

    name: str
    what: str
    drive: Drive
    processes: Sequence[int]
    pss_mb: float = 0.0
    cold_start_s: float = 0.0
    rounds: list[tuple[Driven, float]] = field(default_factory=list)

    async def round(self, seconds: float) -> None:
        """One timed run, after a short one to warm up. Raises PeerFailed if a request failed."""
        await self.drive(min(0.5, seconds / 4))
        before = cpu_seconds(self.processes)
        driven = await self.drive(seconds)
        used = sum(seconds - before[pid] for pid, seconds in cpu_seconds(self.processes).items() if pid in before)
        if driven.errors or not driven.requests:
            raise PeerFailed(f"{self.name}: {driven.errors} of {driven.requests} requests failed")
        self.rounds.append((driven, used / driven.requests * 1e6))

    @property
    def rps(self) -> float:
        return median(driven.requests / driven.seconds for driven, _ in self.rounds)

    def figures(self) -> dict[str, float]:
        """Medians over the rounds."""
        rates = [driven.requests / driven.seconds for driven, _ in self.rounds]
        return {
            "rps": round(self.rps),
            "rps_min": round(min(rates)),
            "rps_max": round(max(rates)),
            "p50_us": median(driven.p50_us for driven, _ in self.rounds),
            "p99_us": median(driven.p99_us for driven, _ in self.rounds),
            "cpu_us": round(median(cpu for _, cpu in self.rounds), 1),
            "pss_mb": round(self.pss_mb, 1),
            "cold_start_s": round(self.cold_start_s, 2),
            "processes": len(self.processes),
        }


def http_drive(address: str, *, path: str = PATH, connections: int = CONNECTIONS) -> Drive:
    """Load from a process of its own."""

    async def drive(seconds: float) -> Driven:
        words = [sys.executable, "-P", "-m", "evals.bench.closed_loop", address, path]
        words += ["--connections", str(connections), "--seconds", str(seconds)]
        done = await anyio.run_process(words, input=BODY, check=False, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise PeerFailed(f"{address}: {done.stderr.decode(errors='replace').strip().splitlines()[-1]}")
        return msgspec.json.decode(done.stdout, type=Driven)

    return drive


def caller_drive(process: Process, *, callers: int = CONNECTIONS) -> Drive:
    """Load from within the chain's own first process."""

    async def drive(seconds: float) -> Driven:
        assert process.stdin is not None
        await process.stdin.send(json.dumps({"seconds": seconds, "callers": callers}).encode() + b"\n")
        return msgspec.json.decode(await read_line(process), type=Driven)

    return drive
