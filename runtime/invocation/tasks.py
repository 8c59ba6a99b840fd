"""The one place in invocation that starts tasks: it owns them, bounds them and cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

HANDLERS_MAX: Final = 10_000  # handlers in progress over one connection; each is a few KiB


class CallTasks:
    """Handlers of one connection, by call id; they end with it."""

    __slots__ = ("_loop", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, call_id: int, work: Coroutine[object, object, None]) -> bool:
        """False, with nothing started, when there are too many already or the id is in use."""
        if len(self._tasks) >= HANDLERS_MAX or call_id in self._tasks:
            work.close()
            return False
        self._tasks[call_id] = self._loop.create_task(work)
        return True

    def ended(self, call_id: int) -> None:
        self._tasks.pop(call_id, None)

    def cancel(self, call_id: int) -> None:
        task = self._tasks.pop(call_id, None)
        if task is not None:
            task.cancel()

    def cancel_all(self) -> None:
        for call_id in tuple(self._tasks):
            self.cancel(call_id)

    def __len__(self) -> int:
        return len(self._tasks)


class OwnedTask:
    """A single long-lived task, such as a link's reconnecting."""

    __slots__ = ("_task",)

    def __init__(self, work: Coroutine[object, object, None], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name=name)

    @property
    def is_done(self) -> bool:
        return self._task.done()

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
