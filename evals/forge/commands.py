"""Runs `aether` commands: the only way in which Forge makes and starts nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from evals.forge.errors import CommandFailed

AETHER: Final = (sys.executable, "-P", "-m", "agent_api.cli.main")
COMMAND_TIMEOUT_S: Final = 60.0
BUILD_TIMEOUT_S: Final = 300.0  # resolving pins may ask an index


async def run_command(*words: str, timeout_s: float = COMMAND_TIMEOUT_S, ok: Sequence[int] = (0,)) -> str:
    """What the command printed. Raises CommandFailed in the command's own words."""
    try:
        with anyio.fail_after(timeout_s):
            done = await anyio.run_process(
                [*AETHER, *words], check=False, stdin=subprocess.DEVNULL, start_new_session=True
            )
    except TimeoutError:
        raise CommandFailed(" ".join(words[:2]), f"it took more than {timeout_s:g} s") from None
    if done.returncode not in ok:
        raise CommandFailed(" ".join(words[:2]), (done.stderr or done.stdout).decode(errors="replace"))
    return done.stdout.decode()


async def start_command(*words: str, output: Path, lifeline: int) -> Process:
    """Starts a command that stays. It inherits the pipe's read end `lifeline`, and its words go to `output`."""
    with output.open("ab") as file:
        return await anyio.open_process(
            [*AETHER, *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(lifeline,),
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
