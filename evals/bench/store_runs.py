"""What the parts of the store's benchmark share: a running cluster of either system, and runs of a load process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec
from anyio.abc import Process

from evals.bench.peers import PeerFailed, read_line

LOAD: Final = "evals.bench.store_load"
GROUPS: Final = ("rounds", "single", "loaded")
Progress = Callable[[str], None]


class Contender(Protocol):
    """A running cluster of one of the two systems."""

    name: str
    nodes: tuple[str, ...]

    def start(self, node: str) -> None: ...

    def kill(self, node: str) -> None: ...

    def pid(self, node: str) -> int: ...

    async def leader(self) -> str: ...

    async def applied(self, node: str) -> int: ...

    async def snapshot(self, node: str, to: Path) -> None: ...

    def load_words(self, *nodes: str) -> list[str]: ...


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What a load process saw. `failed` is empty unless a request failed that must not."""

    requests: int = 0
    seconds: float = 1.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    errors: int = 0
    gap_ms: float = 0.0
    failed: str = ""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`directory`: where both systems keep their disks; the default temporary one may be no disk at all."""

    seconds: float = 2.0
    rounds: int = 5
    sizes: tuple[int, ...] = (3, 5)
    groups: tuple[str, ...] = GROUPS
    keys: int = 100_000
    kills: int = 20
    loaded_s: float = 600.0
    with_etcd: bool = True
    directory: Path | None = None
    apps: tuple[Path, ...] = ()


async def drive(process: Process, **wanted: object) -> Driven:
    """One run of a load process. Raises PeerFailed when a request failed that must not."""
    assert process.stdin is not None
    await process.stdin.send(json.dumps(wanted).encode() + b"\n")
    try:
        driven = msgspec.json.decode(await read_line(process), type=Driven)
    except msgspec.DecodeError:
        raise PeerFailed("a load process ended") from None
    if driven.failed:
        raise PeerFailed(f"a load process: {driven.failed}")
    return driven


async def settle(group: Contender, *, behind_max: int = 0, timeout_s: float = 120.0) -> float:
    """Seconds until every member has applied as much as the leader had when this was asked. Raises PeerFailed."""
    began = time.monotonic()
    wanted = await group.applied(await group.leader()) - behind_max
    with anyio.move_on_after(timeout_s):
        while [node for node in group.nodes if await group.applied(node) < wanted]:  # noqa: ASYNC110  other processes
            await anyio.sleep(0.02)
        return time.monotonic() - began
    raise PeerFailed(f"a member of {group.name} did not catch up in {timeout_s:g} s")
