"""The guide to a first cluster, executed as it is written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "guides" / "first-cluster.md"
TIMEOUT_S: Final = 120.0
PORTS: Final = 30  # the guide's nodes listen on 7400 to 7429


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def free_base() -> int:
    """The first of as many free ports in a row as the guide uses."""
    for base in range(17_400, 60_000, PORTS):
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for lock in tmp_path.glob("*/supervisor.lock"):
        try:
            os.kill(int(lock.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.slow
def test_every_command_of_the_guide_does_what_the_page_says(directory: Path) -> None:
    """A newcomer's first hour: whatever fails here fails for everybody who follows the page."""
    base = free_base()
    script = "set -euo pipefail\n" + "\n".join(blocks())
    script = re.sub(r"127\.0\.0\.1:74(\d\d)", lambda match: f"127.0.0.1:{base + int(match[1])}", script)
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-xc", script],
        cwd=directory,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.count("Hello, you!") >= 2
    assert "node n3 stopped" in done.stdout
