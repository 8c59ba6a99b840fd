"""Signals to the processes of a node, named by what they do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from evals.forge.commands import run_command
from evals.forge.waiting import came_true
from runtime.cluster.parentage import descendants

LOOK_S: Final = 0.02


class NodeProcess(msgspec.Struct, frozen=True, kw_only=True):
    """As `aether node status --json` lists it."""

    id: str
    kind: str
    pid: int
    state: str


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    running: bool
    processes: tuple[NodeProcess, ...] = ()


async def processes_of(data: Path) -> tuple[NodeProcess, ...]:
    """Those that run."""
    said = await run_command("node", "status", "--data", str(data), "--json", ok=(0, 1))
    return tuple(process for process in msgspec.json.decode(said, type=_Status).processes if process.pid)


def family(pid: int) -> tuple[int, ...]:
    """The process and all below it."""
    return (pid, *descendants(pid))


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Whoever has ended meanwhile is left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def alive(pid: int) -> bool:
    """Whether a process with that number runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


async def ended(pids: Iterable[int], *, timeout_s: float) -> tuple[int, ...]:
    """Those that still run after the time."""
    watched = tuple(pids)

    async def gone() -> bool:
        return not any(map(alive, watched))

    await came_true(gone, timeout_s=timeout_s, look_s=LOOK_S)
    return tuple(filter(alive, watched))
