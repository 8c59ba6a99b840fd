"""A counter that can be waited for: nobody misses a firing, however long it took to come back."""

from __future__ import annotations

import asyncio


class Signal:
    """Read `count`, look at the state, then wait for `after(count)`."""

    def __init__(self) -> None:
        self.count = 0
        self._waiters: dict[asyncio.Future[None], None] = {}  # in their order: simulations repeat themselves

    def fire(self) -> None:
        self.count += 1
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def after(self, count: int) -> None:
        """Returns at once if it has fired since `count` was read."""
        if self.count != count:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        finally:
            self._waiters.pop(waiter, None)
