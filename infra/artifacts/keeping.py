"""Artifacts taken in: the bytes become content, what they are a record. Keeping the record is the gate's affair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from infra.artifacts.manifest import Manifest
from runtime.clock import Clock
from runtime.content.port import ContentStore
from runtime.names import Sha256
from runtime.state.values import ArtifactRecord

if TYPE_CHECKING:
    from infra.artifacts.wheel import WheelContents


class ArtifactShelf:
    """What control does with uploads. Stateless: everything is in the content and the store."""

    def __init__(self, *, content: ContentStore, clock: Clock) -> None:
        self._content = content
        self._clock = clock

    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ArtifactRecord:
        """Keeps an uploaded wheel's bytes, which nobody pins yet: without the record they are collected.

        Raises WheelInvalid, ContentMismatch, ContentTooLarge or ContentDiskFull, and nothing stays.
        """
        from infra.artifacts.wheel import read_wheel  # here: few nodes ever take an upload, and it loads 1 MB

        seen: list[tuple[int, WheelContents, Manifest]] = []

        def look(path: Path) -> None:
            seen.append((path.stat().st_size, *read_wheel(path, name="the upload")))

        sha256 = await self._content.put(chunks, expected=expected, accept=look)
        ((size_bytes, contents, manifest),) = seen
        return ArtifactRecord(
            name=contents.name,
            version=contents.version,
            sha256=sha256,
            size_bytes=size_bytes,
            slices=manifest.slices,
            pins=manifest.pins,
            uploaded_unix_ms=self._clock.unix_ms(),
        )
