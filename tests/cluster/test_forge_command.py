"""`aether forge` as people run it: what it prints, what it refuses, and that nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

from evals.forge.processes import alive, ended, family
from evals.forge.project import SliceWish, write_project

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FORGE: Final = (sys.executable, "-P", "-m", "agent_api.cli.main", "forge")
HELLO: Final = '''
from runtime.sdk import get, slice_

@slice_(name="hello", version="1.0.0")
class Hello:
    """Says hello."""

    @get("/hello")
    async def hello(self) -> str:
        return "hello"
'''


@pytest.fixture
def app(tmp_path: Path) -> Path:
    wish = SliceWish(name="hello", class_name="Hello")
    return write_project(tmp_path / "hello", name="hello", source=HELLO, slices=[wish])


@contextmanager
def started(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """A Forge that is up, and what it said when it was."""
    process = subprocess.Popen([*FORGE, "--json", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said: dict[str, object] = {}
        for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "started":
                break
        assert said.get("event") == "started", said
        yield process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def listening(said: dict[str, object]) -> list[str]:
    """Those of the printed addresses on which somebody listens."""
    found = []
    nodes = said["nodes"]
    assert isinstance(nodes, list)
    for node in nodes:
        for purpose in ("http", "api", "peer", "control", "store"):
            host, _, port = str(node[purpose]).rpartition(":")
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    found.append(str(node[purpose]))
    return found


async def test_ctrl_c_leaves_no_process_and_no_socket(app: Path, tmp_path: Path) -> None:
    with started("--nodes", "1", "--app", str(app), "--load", "constant", "--request", "GET /hello") as (forge, said):
        state = Path(str(said["state"]))
        assert len(listening(said)) == 5
        pids = family(forge.pid)
        assert len(pids) > 5
        forge.send_signal(signal.SIGINT)
        rest, _ = forge.communicate(timeout=60)
        assert forge.returncode == 0
        events = [json.loads(line) for line in rest.splitlines()]
        assert events[-1]["event"] == "ended"
        assert next(event for event in events if event["event"] == "load")["failed"] == 0
    assert not [pid for pid in pids if alive(pid)]
    assert listening(said) == []
    assert not state.exists()


async def test_kill_9_of_forge_leaves_no_process(app: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with started("--nodes", "1", "--app", str(app), "--state", str(state)) as (forge, said):
        pids = family(forge.pid)
        forge.kill()
        forge.wait()
        assert await ended(pids, timeout_s=30.0) == ()
    assert listening(said) == []
    with started("--nodes", "1", "--app", str(app), "--state", str(state)) as (_, said):
        assert len(listening(said)) == 5


async def refused(*words: str) -> str:
    with anyio.fail_after(60):
        done = await anyio.run_process([*FORGE, "--duration", "0", *words], check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr.decode()


async def test_a_second_forge_on_one_directory_and_a_taken_port_are_refused(app: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = ("--nodes", "1", "--app", str(app))
    with started(*words, "--state", str(state)) as (_, said):
        assert "another Forge" in await refused(*words, "--state", str(state))
        nodes = said["nodes"]
        assert isinstance(nodes, list)
        port = str(nodes[0]["http"]).rpartition(":")[2]
        assert f"127.0.0.1:{port}" in await refused(*words, "--port", port)
    (state / "n1" / "node.json").unlink()
    assert "half-deleted" in await refused(*words, "--state", str(state))


async def test_a_project_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    said = await refused("--app", str(tmp_path))
    assert "blueprint.toml cannot be read" in said
    assert not [name for name in os.listdir(tmp_path) if name != "blueprint.toml"]


@pytest.mark.parametrize("wrong", [("--rps", "0"), ("--request", "FETCH /hello")])
async def test_a_load_that_makes_no_sense_is_refused_before_anything_starts(
    app: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    state = tmp_path / "state"
    said = await refused("--app", str(app), "--state", str(state), "--load", "constant", *wrong)
    assert "spike" in said or "GET /path" in said
    assert not state.exists()
