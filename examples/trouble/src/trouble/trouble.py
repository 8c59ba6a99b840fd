"""The trouble slice: slow, leaking, failing or not starting at all, as it is told."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec

from runtime.sdk import get, idempotent, post, slice_

MIB = 1024 * 1024


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`fails_first`: so many starts fail on a node before one succeeds, as where something that it needs is late."""

    starts: bool = True
    fails_first: int = 0
    work_ms: float = 25.0
    fail_share: float = 0.0


class Work(msgspec.Struct, frozen=True, kw_only=True):
    done: int


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    megabytes: Annotated[int, msgspec.Meta(ge=0, le=500)]


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    megabytes: int


class CannotStart(Exception):
    """As the configuration wants it."""


class TroubleFailed(Exception):
    """A bug, as far as callers can tell."""


def one_more_start() -> int:
    """How many there were on this node, over all of its worker processes."""
    path = Path(tempfile.gettempdir()) / f"trouble-{os.getppid()}"
    with path.open("ab+") as file:
        file.write(b".")
        file.flush()
        return file.tell()


@slice_(name="trouble", version="1.0.0", concurrency_max=2)
class Trouble:
    """Does as it is told, each instance for itself."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fail_share = config.fail_share
        self._calls = 0
        self._held: list[bytearray] = []

    async def start(self) -> None:
        if not self._config.starts:
            raise CannotStart("the configuration says starts = false")
        if self._config.fails_first and one_more_start() <= self._config.fails_first:
            raise CannotStart("what it needs is not there yet")

    @idempotent
    @get("/trouble/work")
    async def work(self) -> Work:
        """Every so many calls one fails: with a share of 0.25 each fourth."""
        self._calls += 1
        await asyncio.sleep(self._config.work_ms / 1_000)
        if int(self._calls * self._fail_share) > int((self._calls - 1) * self._fail_share):
            raise TroubleFailed("as it was told to")
        return Work(done=self._calls)

    @post("/trouble/leak")
    async def leak(self, leak: Leak) -> Holding:
        """Written to, so that it is memory and not a promise of it."""
        self._held.append(bytearray(b"\x01") * (leak.megabytes * MIB))
        return Holding(megabytes=sum(len(each) for each in self._held) // MIB)

    @post("/trouble/fail")
    async def fail(self, failing: Failing) -> Failing:
        self._fail_share = failing.share
        return failing
