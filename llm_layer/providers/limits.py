"""How long a provider is waited for."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import msgspec

from llm_layer.providers.errors import ProviderFault

T = TypeVar("T")
Begun = Callable[[], None]
"""Called with the first thing that a model writes, be it words, a call or reasoning."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """connect_s: for a connection. first_s: for the first thing written. total_s: for a question with all its tries."""

    connect_s: float = 3.0
    first_s: float = 15.0
    total_s: float = 90.0


USUAL: Final = Limits()


async def begun_within(limits: Limits, reading: Callable[[Begun], Awaitable[T]]) -> T:
    """What `reading` gives. Raises ProviderFault where it has not begun in time."""
    with anyio.move_on_after(limits.first_s) as waiting:

        def begun() -> None:
            waiting.deadline = math.inf

        return await reading(begun)
    raise ProviderFault("slow", f"wrote nothing within {limits.first_s:g} s")
