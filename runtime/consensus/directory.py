"""Whether a member may start from its directory: only it can write there, and what it once promised is still there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runtime.consensus.errors import StoreDirectoryUnfit, StoreLost


def check_directory(directory: Path) -> None:
    """Makes it when it is absent. Raises StoreDirectoryUnfit."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreDirectoryUnfit(
            f"{directory} cannot be a directory: {error.strerror}", "Move away what is there; a node makes it anew."
        ) from error
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise StoreDirectoryUnfit(
            f"{directory} belongs to user {found.st_uid}, the store runs as user {os.geteuid()}",
            f"Start the node as its owner, or: chown -R {os.geteuid()} {directory}",
        )
    if stat.S_IMODE(found.st_mode) & stat.S_IRWXO:
        raise StoreDirectoryUnfit(f"{directory} is open to other users of this machine", f"chmod 700 {directory}")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise StoreDirectoryUnfit(f"{directory} cannot be written by the store", f"chmod 700 {directory}")


def check_log_is_there(directory: Path, node: str, *, begun: bool) -> None:
    """`begun`: the node's identity says that a log was on disk once. Raises StoreLost."""
    if begun and not has_log(directory):
        raise StoreLost(f"node {node} has had a log in {directory}, and it is gone")


def has_log(directory: Path) -> bool:
    return directory.is_dir() and any(path.suffix == ".wal" for path in directory.iterdir())
