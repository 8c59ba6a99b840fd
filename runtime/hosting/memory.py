"""How much memory a worker may use, and how it is held to it.

Two limits, because each alone is wrong. The private resident size is what a person means by memory; the zygote looks
at it every second from outside, so that a blocked worker is seen too. RLIMIT_DATA stops a burst between two looks,
but counts what was only reserved (allocators, thread stacks), so it stands at a multiple. RLIMIT_AS would count
mapped files as well and break libraries that map their models.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

DATA_LIMIT_FACTOR: Final = 4  # glibc reserves 64 MiB an arena and 8 MiB a thread stack long before it touches them
DATA_LIMIT_MB_MIN: Final = 512
MB: Final = 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def limit_data(memory_mb_max: int) -> None:
    """Beyond this the process gets MemoryError. Also forbids core dumps, which would hold the slice's data."""
    wanted = max(memory_mb_max * DATA_LIMIT_FACTOR, DATA_LIMIT_MB_MIN) * MB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def private_mb(pid: int) -> float:
    """Resident memory that no file backs; 0 for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0.0
    return (int(fields[1]) - int(fields[2])) * _PAGE / MB
