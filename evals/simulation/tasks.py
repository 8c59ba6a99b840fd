"""The one place in the simulation that starts tasks: the run ends when the first of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final

RUN_S_MAX: Final = 900.0  # ten times a long run

Work = Coroutine[object, object, None]


def start(work: Work) -> asyncio.Task[None]:
    """For whoever keeps it and cancels it."""
    return asyncio.get_running_loop().create_task(work)


async def first_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Returns when the first one ends; raises what it raised, and TimeoutError when none does."""
    done, _ = await asyncio.wait(tasks, timeout=RUN_S_MAX, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        raise TimeoutError(f"the run did not end in {RUN_S_MAX:.0f} simulated seconds")
    for task in done:
        task.result()


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Whatever is not over yet is cancelled."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
