"""Completion in the shells themselves, at a terminal, with the names of a cluster."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.unit.api_stub import Reply, StubApi

LIMIT_S: Final = 30.0
CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|[\r\x07]")
ROW: Final = {"slice": "orders", "version": "1.0.0", "wanted": 3, "serving": 2}
SHELLS: Final = {  # how each is started without the user's own files, and told of the completion
    "bash": (["bash", "--norc", "-i"], "source <(aether completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(aether completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "aether completion fish | source"),
}


class Terminal:
    """A shell at a terminal of its own; `seen` is all that it has printed, without what moves the cursor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._raw = b""
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def until(self, text: str) -> None:
        """Reads until that was printed. Fails with all that was."""
        give_up_at_s = time.monotonic() + LIMIT_S
        while text not in self.seen:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, give_up_at_s - time.monotonic()))
            assert ready, f"{text!r} did not come: {self.seen}"
            self._raw += os.read(self._descriptor, 4096)
            self.seen = CONTROL.sub("", self._raw.decode(errors="replace"))


@contextmanager
def shell(words: list[str], environment: dict[str, str]) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *words]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        child.kill()
        child.wait()
        os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_words_and_the_clusters_names(name: str, tmp_path: Path) -> None:
    aether = tmp_path / "aether"
    aether.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m agent_api.cli.main "$@"\n')
    aether.chmod(0o755)
    with StubApi(Reply({"revision": 1, "stale": False, "slices": [ROW], "next": ""})).serving() as api:
        environment = {
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TERM": "xterm",
            "AETHER_API": api.address,
        }
        words, load = SHELLS[name]
        with shell(words, environment) as terminal:
            terminal.type(f"{load}; echo rea''dy\n")
            terminal.until("ready")
            terminal.type("aether slice scal\t")
            terminal.until("scale")
            terminal.type("ord\t")
            terminal.until("orders")
        assert api.asked[0].path.startswith("/v1/slices")
