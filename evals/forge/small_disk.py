"""A file system of few MiB, that nodes can fill."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from evals.forge.errors import ForgeFault


class CannotMount(ForgeFault):
    code = "cannot_mount"
    remedy = "Run it where file systems may be mounted: as root, in a container with CAP_SYS_ADMIN."


@asynccontextmanager
async def small_disk(mib: int) -> AsyncIterator[Path | None]:
    """A directory on a file system of its own; none where `mib` is 0. Raises CannotMount."""
    if not mib:
        yield None
        return
    place = Path(tempfile.mkdtemp(prefix="aether-disk-"))
    done = await anyio.run_process(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)], check=False)
    try:
        if done.returncode != 0:
            raise CannotMount(f"no file system of {mib} MiB can be mounted: {done.stderr.decode().strip()}")
        yield place / "forge"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.run_process(["umount", "--lazy", str(place)], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(place, ignore_errors=True)
