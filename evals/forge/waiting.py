"""Waiting for what other processes do: nobody tells, so one looks again and again, in this one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


async def came_true(condition: Callable[[], Awaitable[bool]], *, timeout_s: float, look_s: float) -> bool:
    """Whether the condition held before the time was over. It is looked at once at least."""
    with anyio.move_on_after(timeout_s):
        while not await condition():  # noqa: ASYNC110  the state of another process
            await anyio.sleep(look_s)
        return True
    return False
