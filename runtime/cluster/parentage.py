"""Who is whose parent, and who dies with whom: the few kernel calls behind supervision. Standard library only.

A process asks for its parent's death signal itself, after the fork. The kernel sends it when the parent *at that
time* dies, also when that parent became one by adopting an orphan. So a worker that must outlive its zygote but not
the supervisor is forked twice: the one in between exits, the supervisor (a subreaper) adopts the worker, and only
then the worker calls `die_with_parent`.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_FIELD_PARENT: Final = 1  # of /proc/PID/stat, counted behind the command's closing bracket
_FIELD_START: Final = 19


class ParentGone(Exception):
    """The parent died before its child could ask to die with it."""


def become_subreaper() -> None:
    """Orphaned descendants become this process's children instead of init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """The kernel sends `signum` to this process when its parent dies. Raises ParentGone if `parent` is it no more."""
    _prctl(_PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != parent:
        raise ParentGone


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when there is none. With the pid it names a process."""
    fields = _stat(pid)
    return int(fields[_FIELD_START]) if fields else 0


def is_alive(pid: int, ticks: int) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in ("Z", "X") and int(fields[_FIELD_START]) == ticks


def descendants(pid: int) -> tuple[int, ...]:
    """All living processes below `pid`, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and fields[0] not in ("Z", "X"):
            children.setdefault(int(fields[_FIELD_PARENT]), []).append(int(entry.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return tuple(found)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
