"""Models of one's own taken in: the bytes become content, what they are a record. Keeping that is the gate's affair."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio

from controllers.ttm.card import ModelCard
from controllers.ttm.errors import ModelRefused, ModelUnreadable
from controllers.ttm.forecast_job import Trouble
from controllers.ttm.model_file import FILE_BYTES_MAX, unpack_model
from controllers.ttm.records import UPLOADED, ForecastModel
from runtime.clock import Clock
from runtime.content.port import ContentStore
from runtime.names import Sha256

Check = Callable[[bytes], Awaitable[Trouble | None]]
"""Opens a model and asks it what is hard for models, in a process of its own."""


class ModelShelf:
    """What control does with uploads. Stateless: everything is in the content and the store."""

    def __init__(self, *, content: ContentStore, check: Check, clock: Clock) -> None:
        self._content = content
        self._check = check
        self._clock = clock

    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ForecastModel:
        """Keeps an uploaded model's bytes, which nobody pins yet: without the record they are collected.

        Raises TtmFault for what is no model or must not be used, and ContentFault."""
        seen: list[ModelCard] = []
        sha256 = await self._content.put(chunks, expected=expected, accept=lambda path: seen.append(_card(path)))
        file = await anyio.Path(await self._content.get(sha256)).read_bytes()
        if (trouble := await self._check(file)) is not None:
            raise ModelRefused(f"{trouble.reason} ({trouble.code})")
        (card,) = seen
        return ForecastModel(
            number=1,  # given when the record is planned
            sha256=sha256,
            base=card.sha256,
            graph=1,
            made_unix_ms=self._clock.unix_ms(),
            cause=UPLOADED,
            first_minute=0,
            last_minute=-1,
            slices=0,
            samples=card.quality.windows,
            ruling=UPLOADED,
        )


def _card(path: Path) -> ModelCard:
    """Raises TtmFault."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ModelUnreadable(f"it is larger than {FILE_BYTES_MAX} bytes")
    return unpack_model(path.read_bytes())[1]
