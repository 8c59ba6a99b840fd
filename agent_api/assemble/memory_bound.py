"""What a process for one job may take of memory, so that a model of somebody's cannot take the machine's."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

MIB: Final = 2**20


def bound_memory(mib_max: int) -> None:
    """From now on for the whole process. Its address space is what the kernel can bound, and that is larger than what
    it uses: Python, NumPy, onnxruntime and the shipped model take 166 MiB of it, and 70 of memory. A bound that was
    lower already stays."""
    wanted = mib_max * MIB
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    with contextlib.suppress(ValueError, OSError):  # where the system knows no such bound
        resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
