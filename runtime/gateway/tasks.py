"""The one place in the gateway that starts loop tasks and timers: it bounds them, names them and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

TASKS_MAX: Final = 64  # a gateway's long-lived work: server, links; never one per request


class TooManyTasks(Exception):
    """More long-lived work than a gateway can have; something starts tasks per request."""


class Tasks:
    """Long-lived work of one gateway. A task that fails makes `failed` complete with its error."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Raises TooManyTasks."""
        if len(self._tasks) >= TASKS_MAX:
            work.close()
            raise TooManyTasks(name)
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Calls `action` now and then every `seconds`, until close."""
        number = len(self._timers)

        def again() -> None:
            self._timers[number] = self._loop.call_later(seconds, again)
            action()

        again()

    async def close(self) -> None:
        """Cancels all and waits for them to end."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.failed.done():
            self.failed.exception()  # taken note of, so that the loop does not report it again
        else:
            self.failed.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None or self.failed.done():
            return
        error = task.exception()
        assert error is not None
        self.failed.set_exception(error)
