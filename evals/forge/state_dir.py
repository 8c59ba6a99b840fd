"""Forge's directory: which nodes it made, and whether another Forge uses it now."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from evals.forge.errors import StateUnusable

MANIFEST: Final = "forge.json"
LOCK: Final = "forge.lock"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written when every node's directory stands; a directory without it is the rest of a start that failed."""

    cluster_id: str
    nodes: tuple[str, ...]
    provided: tuple[str, ...] = ()
    """Nodes that the cluster asked for later."""


class StateDir:
    """A locked directory. `close` removes it unless it is kept."""

    def __init__(self, path: Path, *, keep: bool, lock: int, manifest: Manifest | None) -> None:
        self.path = path
        self.keep = keep
        self.manifest = manifest
        self._lock = lock

    @classmethod
    def open(cls, path: Path | None, *, keep: bool) -> StateDir:
        """A new directory, or one that an earlier Forge kept. Raises StateUnusable."""
        if path is None:
            made = Path(tempfile.mkdtemp(prefix="aether-forge-"))
            return cls(made, keep=keep, lock=_lock(made), manifest=None)
        if path.exists() and not path.is_dir():
            raise StateUnusable(f"{path} is a file", "Name a directory that is empty or does not exist.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnusable(f"{path} cannot be made: {error.strerror}", "Name another directory.") from None
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK)
        if foreign and not (path / MANIFEST).exists() and not (path / LOCK).exists():
            raise StateUnusable(
                f"{path} is not empty and was not made by Forge (found: {', '.join(foreign[:3])})",
                "Name a directory that is empty or does not exist.",
            )
        lock = _lock(path)
        try:
            manifest = _checked(path, foreign)
        except StateUnusable:
            os.close(lock)
            raise
        return cls(path, keep=True, lock=lock, manifest=manifest)

    def node(self, name: str) -> Path:
        return self.path / name

    def finish(self, manifest: Manifest) -> None:
        """Says that every node's directory stands; said anew when nodes come or go."""
        temporary = self.path / f"{MANIFEST}.tmp"
        temporary.write_bytes(msgspec.json.encode(manifest))
        temporary.rename(self.path / MANIFEST)
        self.manifest = manifest

    def close(self) -> None:
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _lock(path: Path) -> int:
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StateUnusable(
            f"another Forge (pid {holder}) runs on {path}", "End it with Ctrl-C, or name another --state."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _checked(path: Path, found: list[str]) -> Manifest | None:
    """What stands in the directory; None when it is new."""
    remedy = f"Delete {path} to begin anew."
    if not found:
        return None
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StateUnusable(f"{path} is the rest of a start that did not finish", remedy) from None
    except msgspec.DecodeError as error:
        raise StateUnusable(f"{path / MANIFEST} is damaged: {error}", remedy) from None
    broken = [name for name in (*manifest.nodes, *manifest.provided) if not (path / name / "node.json").is_file()]
    if broken:
        raise StateUnusable(f"{path} is half-deleted: {', '.join(broken)} has no node.json", remedy)
    return manifest
