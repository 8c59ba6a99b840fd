"""Turns an artifact's hash into code that a worker can import: fetched, verified, unpacked, with its environment."""

from __future__ import annotations

from pathlib import Path

import anyio
from anyio import to_thread

from infra.artifacts.environment import Environments
from infra.artifacts.errors import DiskRefused
from infra.artifacts.manifest import dependency_set
from infra.artifacts.unpacking import clear_unfinished, is_intact, unpack
from infra.artifacts.wheel import read_wheel
from runtime.content.port import ContentStore
from runtime.hosting.ports import PreparedArtifact
from runtime.names import Sha256


class DiskArtifactSource:
    """Implements ArtifactSource below DATA/environments: `code/<sha256>` and `sets/<dependency set>`."""

    def __init__(self, root: Path, *, content: ContentStore, find_links: tuple[str, ...] = ()) -> None:
        self._code = root / "code"
        self._content = content
        self._environments = Environments(root / "sets", find_links=find_links)
        self._preparing: dict[str, anyio.Lock] = {}

    def open(self) -> None:
        """Makes the directories and clears what a crash left half-made."""
        self._code.mkdir(parents=True, exist_ok=True, mode=0o700)
        clear_unfinished(self._code)
        self._environments.open()

    async def prepare(self, sha256: Sha256) -> PreparedArtifact:
        """Raises ContentNotFound, WheelInvalid, EnvironmentFailed or DiskRefused; each says what can be done.

        Every call verifies the wheel and the unpacked files again; a directory that was altered is made anew.
        """
        try:
            return await self._prepare(sha256)
        except OSError as error:  # a full or failing disk is this instance's reason, not the end of control
            raise DiskRefused(
                f"the node's disk did not take the artifact's files: {error}",
                f"Free space below {self._code.parent}, or move the node's data; the instance starts again by itself.",
            ) from error

    async def _prepare(self, sha256: Sha256) -> PreparedArtifact:
        wheel = await self._content.get(sha256)
        _, manifest = await to_thread.run_sync(read_wheel, wheel)
        code = self._code / sha256
        async with self._preparing.setdefault(sha256, anyio.Lock()):
            if not await to_thread.run_sync(is_intact, code, wheel):
                await to_thread.run_sync(unpack, wheel, code)
        packages = ""
        name = dependency_set(manifest.pins)
        if manifest.pins:
            async with self._preparing.setdefault(name, anyio.Lock()):
                packages = str(await self._environments.ensure(manifest.pins, code if manifest.bundled else None))
        return PreparedArtifact(
            sha256=sha256,
            code=str(code),
            packages=packages,
            dependency_set=name,
            preload=manifest.preload,
            slices=manifest.slices,
        )
