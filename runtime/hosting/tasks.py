"""The one place in hosting that starts tasks: it owns them, bounds them and cancels them.

A worker has msgspec and the standard library alone, so anyio's task groups are not at hand here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

T = TypeVar("T")

TASKS_MAX: Final = 65_536  # as many as an instance may have calls at most; about 1.3 GiB would come long before


class TaskOwner:
    """Tasks that end, at the latest, when their owner closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, T], *, name: str) -> asyncio.Task[T]:
        """Runs `work` beside the caller. Its failure goes to the loop's exception handler."""
        assert len(self._tasks) < TASKS_MAX
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def within(self, work: Coroutine[object, object, T], *, seconds: float, name: str) -> T:
        """The result of `work`. Raises TimeoutError after `seconds`, also when `work` swallows its cancellation;
        such a task stays owned until it ends."""
        task = self.start(work, name=name)
        try:
            done, _ = await asyncio.wait((task,), timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise TimeoutError
        return task.result()

    async def close(self, *, grace_s: float) -> int:
        """Cancels what still runs. Returns how many tasks did not end within the grace."""
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return 0
        _, pending = await asyncio.wait(tuple(self._tasks), timeout=grace_s)
        return len(pending)
