"""The one place in consensus that starts tasks: closings that nobody waits for until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Endings:
    """Closings in progress; each takes a moment, and there are as many as members that left."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
