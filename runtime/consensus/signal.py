"""A counter that can be waited for: nobody misses a firing, however long it took to come back."""

from __future__ import annotations

import asyncio


class Signal:
    """Read `count`, look at the state, then wait for `after(count)`."""

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def fire(self) -> None:
        self.count += 1
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def after(self, count: int) -> None:
        """Returns at once if it has fired since `count` was read."""
        if self.count != count:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
