"""Forking a worker off a zygote so that it outlives the zygote and dies with the supervisor. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from runtime.cluster.parentage import ParentGone, die_with_parent

_ADOPTION_TRIES_MAX: Final = 100_000  # each yields the processor; the parent in between ends within microseconds


def thread_count() -> int:
    """Threads of this process, also those that Python does not know of."""
    return len(list(Path("/proc/self/task").iterdir()))


def fork_orphan(supervisor: int) -> int:
    """Forks twice. Returns the new process's pid here, and 0 in the new process once the supervisor is its parent.

    The process in between ends at once, the supervisor as the nearest subreaper adopts the orphan, and only then it
    asks to die with its parent. Raises ParentGone in the new process if somebody else adopted it.
    """
    read_end, write_end = os.pipe()
    between = os.fork()
    if between == 0:
        between = os.getpid()
        orphan = os.fork()
        if orphan:
            os.write(write_end, str(orphan).encode())
            os._exit(0)
        os.close(read_end)
        os.close(write_end)
        _await_adoption(between)
        die_with_parent(supervisor)
        os.setsid()
        return 0
    os.close(write_end)
    try:
        orphan = int(os.read(read_end, 32) or b"0")
    finally:
        os.close(read_end)
        os.waitpid(between, 0)
    if orphan == 0:
        raise OSError("the process between could not fork")
    return orphan


def _await_adoption(parent: int) -> None:
    for _ in range(_ADOPTION_TRIES_MAX):
        if os.getppid() != parent:
            return
        os.sched_yield()
    raise ParentGone
