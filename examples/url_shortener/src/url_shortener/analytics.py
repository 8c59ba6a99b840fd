"""The analytics slice: counts clicks in memory and adds them to the database once a second."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final

import msgspec

from infra.database import Database
from runtime.sdk import get, idempotent, slice_
from url_shortener.links import Clicks

FLUSH_S: Final = 1.0  # a killed instance loses the clicks of its last second, and no more
CODES_PER_FLUSH_MAX: Final = 200  # the rest waits for the next second
CODES_WAITING_MAX: Final = 50_000  # about 10 MB; clicks on further codes are dropped until there is room
REFERRERS_MAX: Final = 100  # by name; the rest counts as "other"
ATTEMPTS_MAX: Final = 8  # two instances add to one code: one of them tries again


class Config(msgspec.Struct, frozen=True, kw_only=True):
    flush_s: float = FLUSH_S


@slice_(name="analytics", version="1.0.0")
class Analytics:
    """Who follows which link."""

    def __init__(self, database: Database, config: Config) -> None:
        self._clicks = database.collection("clicks", Clicks)
        self._waiting: dict[str, Counter[str]] = {}
        self._flush_s = config.flush_s
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._flushing = asyncio.create_task(self._flush_for_ever())

    async def stop(self) -> None:
        """What was counted is written before the instance goes."""
        if self._flushing is not None:
            self._flushing.cancel()
            with suppress(asyncio.CancelledError):
                await self._flushing
        while self._waiting:
            await self._flush()

    async def clicked(self, code: str, referrer: str) -> None:
        """Counts one click. Takes no input or output, so that it never slows a redirect."""
        if code in self._waiting or len(self._waiting) < CODES_WAITING_MAX:
            self._waiting.setdefault(code, Counter())[referrer] += 1

    @idempotent
    @get("/links/{code}/clicks")
    async def clicks(self, code: str) -> Clicks:
        """What is in the database: up to a second old."""
        found = await self._clicks.get(code)
        return found.value if found is not None else Clicks(code=code, total=0)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            await self._flush()

    async def _flush(self) -> None:
        """Adds what waits; what could not be added waits on."""
        for code in list(self._waiting)[:CODES_PER_FLUSH_MAX]:
            counted = self._waiting.pop(code)
            try:
                added = await self._add(code, counted)
            except Exception as error:  # the database is away: count on, and try again in a second
                print(f"clicks on {code} wait: {error}")
                added = False
            if not added:
                self._waiting.setdefault(code, Counter()).update(counted)

    async def _add(self, code: str, counted: Counter[str]) -> bool:
        for _ in range(ATTEMPTS_MAX):
            found = await self._clicks.get(code)
            before = found.value if found is not None else Clicks(code=code, total=0)
            after = add_clicks(before, counted)
            if await self._clicks.compare_and_set(code, after, revision=found.revision if found is not None else 0):
                return True
        return False


def add_clicks(before: Clicks, counted: Counter[str]) -> Clicks:
    """The sum of both; referrers beyond the limit count as "other"."""
    by_referrer = dict(before.by_referrer)
    for referrer, count in counted.items():
        name = referrer if referrer in by_referrer or len(by_referrer) < REFERRERS_MAX else "other"
        by_referrer[name] = by_referrer.get(name, 0) + count
    return Clicks(code=before.code, total=before.total + counted.total(), by_referrer=by_referrer)
