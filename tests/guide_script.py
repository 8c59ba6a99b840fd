"""Runs the commands of a guide as they stand on the page, on ports that are free."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

GUIDES: Final = Path(__file__).resolve().parents[1] / "docs" / "guides"
TIMEOUT_S: Final = 120.0
PORTS: Final = 60  # the guides' nodes listen on 7400 to 7459


def run_guide(name: str, directory: Path) -> str:
    """What the commands printed. Fails with the last of it where one of them failed."""
    base = free_base()
    blocks = re.findall(r"^```sh\n(.*?)^```", (GUIDES / name).read_text(), re.MULTILINE | re.DOTALL)
    script = "set -euo pipefail\n" + "\n".join(blocks)
    script = re.sub(r"127\.0\.0\.1:74(\d\d)", lambda match: f"127.0.0.1:{base + int(match[1])}", script)
    done = subprocess.run(
        ["bash", "-xc", script],
        cwd=directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@contextmanager
def ended_nodes(directory: Path) -> Iterator[Path]:
    """Ends what a guide left running when it failed, and its directory."""
    yield directory
    for lock in directory.glob("*/supervisor.lock"):
        try:
            os.kill(int(lock.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue
    shutil.rmtree(directory, ignore_errors=True)


def free_base() -> int:
    """The first of as many free ports in a row as the guides use."""
    for base in range(17_400, 60_000, PORTS):
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")
