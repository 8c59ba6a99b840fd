"""Clients that never stop asking while things break: single and double writes, swaps, transfers, reads, leases."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from evals.nemesis.account import FUNDS, TOTAL, Account, twin
from evals.nemesis.errors import PromiseBroken
from runtime.consensus import errors as e
from runtime.consensus.store import Get, KeyValue, LeaseId, Put, Revision, Store, absent, unchanged

COUNTERS: Final = 4
PAUSE_S: Final = 0.03  # between two works of one client, on average
LEASE_TTL_MS: Final = 1_500
_UNCERTAIN: Final = (e.NoQuorum, e.StoreUnavailable, e.Overloaded, e.SessionLost)
"""What a client may be told while things break: the change may have been made, or not."""

Answer = TypeVar("Answer")


class Client:
    """One after the other over one session, at one node's socket or, over mutual TLS, at any node."""

    def __init__(self, name: str, store: Store, rng: random.Random, account: Account) -> None:
        self.name = name
        self._store = store
        self._rng = rng
        self._account = account
        self._numbers = itertools.count(1)
        self._works: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
            (4, self._write_once),
            (4, self._increment),
            (2, self._transfer),
            (3, self._read),
            (1, self._read_all),
            (1, self._lease),
        )

    async def run(self, stopping: anyio.Event) -> None:
        """Until told to stop; then what is under way is finished."""
        weights, works = zip(*self._works, strict=True)
        while not stopping.is_set():
            await self._rng.choices(works, weights)[0]()
            await anyio.sleep(self._rng.expovariate(1 / PAUSE_S))

    # -- works ---------------------------------------------------------------------------------------------------------

    async def _write_once(self) -> None:
        """Two keys that nobody else writes: their versions show whether the change was made twice, or by halves."""
        key = f"once/{self.name}/{next(self._numbers)}"
        value = self._rng.randbytes(self._rng.randrange(1, 200))
        self._account.unknown.add(key)
        puts = [Put(key=self._full(each), value=value) for each in (key, twin(key))]
        result = await self._change(self._store.txn([], puts))
        if result is not None:
            self._account.unknown.discard(key)
            self._account.acknowledged[key] = result.revision

    async def _increment(self) -> None:
        """Compare and swap."""
        key = f"counter/{self._rng.randrange(COUNTERS)}"
        found = await self._ask(self._store.get(self._full(key)))
        if found is None:
            return
        value, revision = _number(found.item)
        self._account.perhaps[key] += 1
        swap = [Put(key=self._full(key), value=str(value + 1).encode())]
        result = await self._change(self._store.txn([unchanged(self._full(key), revision)], swap))
        if result is None:
            return
        self._account.perhaps[key] -= 1
        if result.succeeded:
            self._account.counted[key] += 1
            self._account.highest[key] = max(self._account.highest[key], value + 1)

    async def _transfer(self) -> None:
        """Between two keys, in one transaction that reads, too."""
        left, right = (self._full(key) for key in FUNDS)
        seen = await self._change(
            self._store.txn(
                [absent(left)],
                [Put(key=left, value=str(TOTAL).encode()), Put(key=right, value=b"0")],
                [Get(key=left), Get(key=right)],
            )
        )
        if seen is None or seen.succeeded:
            return
        self._account.check_funds(list(seen.gets))
        (has, at), (gets, other_at) = (_number(item) for item in seen.gets)
        amount = self._rng.randint(-gets, has)
        puts = [Put(key=left, value=str(has - amount).encode()), Put(key=right, value=str(gets + amount).encode())]
        await self._change(self._store.txn([unchanged(left, at), unchanged(right, other_at)], puts))

    async def _read(self) -> None:
        """A linearizable read shows everything that was acknowledged before it began."""
        key = f"counter/{self._rng.randrange(COUNTERS)}"
        before = self._account.highest[key]
        found = await self._ask(self._store.get(self._full(key)))
        if found is not None and _number(found.item)[0] < before:
            raise PromiseBroken(f"{self.name} read {found.item} after {before} was acknowledged")

    async def _read_all(self) -> None:
        before = dict(self._account.highest)
        found = await self._ask(self._store.range(self._full("counter/")))
        if found is not None:
            seen = {item.key: int(item.value) for item in found.items}
            late = {key: value for key, value in before.items() if seen.get(self._full(key), 0) < value}
            if late:
                raise PromiseBroken(f"{self.name} read {seen} after {late} were acknowledged")

    async def _lease(self) -> None:
        """A key under a lease stands for the whole of its time after the last keep-alive that was begun."""
        ends_s = time.monotonic() + LEASE_TTL_MS / 1_000
        lease = await self._change(self._store.grant(LEASE_TTL_MS))
        if lease is None:
            return
        key = self._full(f"lease/{self.name}")
        if await self._under_lease(self._store.txn([], [Put(key=key, value=b"", lease=lease)]), ends_s) is None:
            return
        if self._rng.random() < 0.5:
            await anyio.sleep(self._rng.uniform(0.1, 0.5))
            began_s = time.monotonic()
            if not await self._kept_alive(lease, ends_s):
                return
            ends_s = began_s + LEASE_TTL_MS / 1_000
        await anyio.sleep(self._rng.uniform(0.0, max(0.0, ends_s - time.monotonic())))
        found = await self._ask(self._store.get(key))
        if found is not None and time.monotonic() < ends_s:
            self._account.leases += 1
            if found.item is None or found.item.lease != lease:
                raise PromiseBroken(f"{key} went {ends_s - time.monotonic():.3f} s before its lease could end")

    async def _kept_alive(self, lease: LeaseId, ends_s: float) -> bool:
        async def keep() -> bool:
            await self._store.keep_alive(lease)
            return True

        return await self._under_lease(keep(), ends_s) is not None

    # -- asking --------------------------------------------------------------------------------------------------------

    def _full(self, key: str) -> str:
        return self._account.prefix + key

    async def _change(self, asked: Awaitable[Answer]) -> Answer | None:
        """None: whether it was made is not known."""
        self._account.commands += 1
        try:
            answer = await asked
        except _UNCERTAIN:
            self._account.failed += 1
            return None
        self._account.answered()
        return answer

    async def _under_lease(self, asked: Awaitable[Answer], ends_s: float) -> Answer | None:
        try:
            return await self._change(asked)
        except e.LeaseNotFound:
            if time.monotonic() < ends_s:
                raise PromiseBroken(f"a lease ended {ends_s - time.monotonic():.3f} s before its time") from None
            return None

    async def _ask(self, asked: Awaitable[Answer]) -> Answer | None:
        try:
            answer = await asked
        except _UNCERTAIN:
            return None
        self._account.reads += 1
        return answer


def _number(item: KeyValue | None) -> tuple[int, Revision]:
    return (int(item.value), item.mod_revision) if item is not None else (0, Revision(0))
