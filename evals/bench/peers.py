"""Processes that a benchmark starts beside the cluster: ready when they say so, ended by closing their input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import Process

from runtime.errors import RuntimeFault

READY_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 10.0
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class PeerFailed(RuntimeFault):
    code = "peer_failed"
    remedy = "The process's own words stand above; benchmark the rest with --only."


class Peers:
    """`async with Peers() as peers` ends all that was started through it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def start(self, module: str, *words: str, says: str = "ready") -> Process:
        """A module of ours. Returns when the process said that it takes work. Raises PeerFailed."""
        return await self._start(module, [sys.executable, "-P", "-m", module, *words], says)

    async def start_script(self, script: str, *words: str, python: str) -> Process:
        """A script that needs nothing of ours, under any Python."""
        return await self._start(script, [python, script, *words], "ready")

    async def _start(self, name: str, words: list[str], says: str) -> Process:
        process = await anyio.open_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)
        self._stack.push_async_callback(_end, process)
        await until_says(process, says, name)
        return process


async def until_says(process: Process, word: str, name: str) -> None:
    """Raises PeerFailed when the process says something else, or nothing in time."""
    said = ""
    with anyio.move_on_after(READY_TIMEOUT_S):
        said = await read_line(process)
    if said != word:
        raise PeerFailed(f"{name} did not become {word}")


async def read_line(process: Process) -> str:
    """The next line that the process prints; empty at its end."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        try:
            line += await process.stdout.receive(1) if len(line) < 65_536 else b"\n"
        except anyio.EndOfStream:
            break
    return line.decode().strip()


async def _end(process: Process) -> None:
    if process.stdin is not None:
        await process.stdin.aclose()
    with anyio.move_on_after(END_TIMEOUT_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def cpu_seconds(pids: Sequence[int]) -> dict[int, float]:
    """User and system time that each process has used; one that ended is left out."""
    found = {}
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return found


def pss_mb(pids: Sequence[int]) -> float:
    """Memory in MB with shared pages counted in parts. Processes that ended meanwhile count nothing."""
    kilobytes = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024 / 1e6
