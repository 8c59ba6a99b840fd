"""A shop whose slices misbehave as a file tells them. Copied into a project of its own.

storefront calls catalog, basket and mailer; basket calls ledger. What is wrong with a slice stands in `dials.json`, by
the slice's name, or by "slice@node" where only its instances on that node shall have it: nothing in the cluster's state
shows it, as with a fault in the code or in what a slice connects to.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Protocol

import msgspec

from runtime.sdk import get, idempotent, slice_


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """`fail`: the share of calls that fail with `says`. `work_ms` waits, `jitter_ms` waits for up to that, `spin_ms`
    computes and lets nobody else. `starts` false: an instance fails with `says` when it starts. `until_restart`: only
    instances that were started before the dial was set have it. `logs` is printed with each call."""

    work_ms: float = 0.0
    jitter_ms: float = 0.0
    spin_ms: float = 0.0
    fail: float = 0.0
    says: str = "it is broken"
    starts: bool = True
    until_restart: bool = False
    logs: str = ""
    set_s: float = 0.0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`release` is what a deployment brings with it: the same faults, as a change that everybody can see."""

    dials: str = ""
    work_ms: float = 0.0
    fail: float = 0.0
    needs: str = ""
    note: str = ""


class Done(msgspec.Struct, frozen=True):
    by: str


class Broken(Exception):
    """A bug, as far as callers can tell."""


QUIET = Dial()


def node_here() -> str:
    """The node's name: the last part of the data directory that the process was started with."""
    words = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
    return next((Path(words[at + 1]).name for at, each in enumerate(words) if each == "--data"), "")


class Worked:
    """Base of all: does what the dial and the configuration say before it answers."""

    NAME = ""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._path = config.dials
        self._read_at = -1
        self._dial = QUIET
        self._calls = 0
        self._born_s = time.monotonic()

    async def start(self) -> None:
        dial = self._now()
        if self._config.needs:
            raise KeyError(f"missing setting {self._config.needs}")
        if not dial.starts:
            raise OSError(dial.says)

    def _now(self) -> Dial:
        try:
            changed = os.stat(self._path).st_mtime_ns
        except OSError:
            return QUIET
        if changed != self._read_at:
            told = msgspec.json.decode(Path(self._path).read_bytes(), type=dict[str, Dial])
            self._dial = told.get(f"{self.NAME}@{node_here()}") or told.get(self.NAME) or QUIET
            self._read_at = changed
        if self._dial.until_restart and self._born_s > self._dial.set_s:
            return QUIET
        return self._dial

    async def _work(self) -> None:
        dial = self._now()
        self._calls += 1
        if dial.logs:
            print(dial.logs)
        if dial.spin_ms:
            until = time.perf_counter() + dial.spin_ms / 1_000
            while time.perf_counter() < until:
                pass
        wait_ms = self._config.work_ms + dial.work_ms + dial.jitter_ms * (self._calls * 0.618 % 1)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1_000)
        share = max(self._config.fail, dial.fail)
        if int(self._calls * share) > int((self._calls - 1) * share):
            raise Broken(dial.says)


class Ledgers(Protocol):
    @idempotent
    async def book(self) -> Done: ...


class Baskets(Protocol):
    @idempotent
    async def fill(self) -> Done: ...


class Catalogs(Protocol):
    @idempotent
    async def look(self) -> Done: ...


class Mailers(Protocol):
    @idempotent
    async def mail(self) -> Done: ...


@slice_(name="ledger", version="1.0.0")
class Ledger(Worked):
    """Stands on nothing."""

    NAME = "ledger"

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    @idempotent
    @get("/shop/ledger")
    async def book(self) -> Done:
        await self._work()
        return Done("ledger")


@slice_(name="basket", version="1.0.0")
class Basket(Worked):
    """Stands on the ledger."""

    NAME = "basket"

    def __init__(self, config: Config, ledger: Ledgers) -> None:
        super().__init__(config)
        self._ledger = ledger

    @idempotent
    @get("/shop/basket")
    async def fill(self) -> Done:
        await self._work()
        return await self._ledger.book()


@slice_(name="catalog", version="1.0.0", concurrency_max=4)
class Catalog(Worked):
    """Takes few calls at once."""

    NAME = "catalog"

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    @idempotent
    @get("/shop/catalog")
    async def look(self) -> Done:
        await self._work()
        return Done("catalog")


@slice_(name="mailer", version="1.0.0")
class Mailer(Worked):
    """Nobody waits for it but the storefront."""

    NAME = "mailer"

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    @idempotent
    @get("/shop/mailer")
    async def mail(self) -> Done:
        await self._work()
        return Done("mailer")


@slice_(name="storefront", version="1.0.0")
class Storefront(Worked):
    """What customers see."""

    NAME = "storefront"

    def __init__(self, config: Config, catalog: Catalogs, basket: Baskets, mailer: Mailers | None) -> None:
        super().__init__(config)
        self._catalog = catalog
        self._basket = basket
        self._mailer = mailer

    @idempotent
    @get("/shop/visit")
    async def visit(self) -> Done:
        await self._work()
        await self._catalog.look()
        await self._basket.fill()
        if self._mailer is not None:
            await self._mailer.mail()
        return Done("storefront")
