"""Long results of runs, kept as content for as long as their run."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_api.assemble.workflows import ResultContent
from runtime.content.errors import ContentNotFound
from runtime.names import Sha256
from runtime.workflow.errors import DefinitionNotFound

pytestmark = pytest.mark.anyio


class OneDirectory:
    """As much of a content store as results use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pins: set[tuple[str, str]] = set()

    async def put(self, chunks: AsyncIterator[bytes]) -> Sha256:
        raw = b"".join([chunk async for chunk in chunks])
        name = hashlib.sha256(raw).hexdigest()
        (self._directory / name).write_bytes(raw)
        return Sha256(name)

    async def get(self, sha256: Sha256) -> Path:
        if not (self._directory / sha256).exists():
            raise ContentNotFound(sha256, "nowhere")
        return self._directory / sha256

    async def pin(self, sha256: Sha256, owner: str) -> None:
        self.pins.add((sha256, owner))

    async def unpin(self, sha256: Sha256, owner: str) -> None:
        self.pins.discard((sha256, owner))


async def test_a_result_is_pinned_by_its_run_until_that_is_forgotten(tmp_path: Path) -> None:
    content = OneDirectory(tmp_path)
    results = ResultContent(content)  # type: ignore[arg-type]
    sha256 = await results.keep("r1", b"long")
    assert (await results.read(sha256), content.pins) == (b"long", {(sha256, "run/r1")})
    await results.drop("r1", sha256)
    assert not content.pins


async def test_a_result_that_nobody_has_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(DefinitionNotFound):
        await ResultContent(OneDirectory(tmp_path)).read(Sha256("0" * 64))  # type: ignore[arg-type]
