"""The supervisor with real processes: restarts, adoption, and that nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from runtime.cluster.layout import NodeLayout
from runtime.cluster.parentage import is_alive, start_ticks
from runtime.cluster.supervision import (
    ProcessExit,
    SupervisedProcess,
    SupervisorClient,
    SupervisorRefused,
    SupervisorUnavailable,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LAUNCHER: Final = """
import sys
from pathlib import Path
from runtime.cluster.child import ChildSpec
from runtime.cluster.layout import NodeLayout
from runtime.cluster.supervisor import supervise

directory, lifeline, *children = sys.argv[1:]
specs = [
    ChildSpec(id=name, kind=name.partition("-")[0], argv=(sys.executable, "-P", "-c", code), grace_s=0.5)
    for name, code in zip(children[::2], children[1::2])
]
supervise(NodeLayout(Path(directory)), specs, lifeline=int(lifeline) if lifeline else None)
"""
SLEEPER: Final = "import signal; signal.pause()"
STUBBORN: Final = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""
RECORDER: Final = textwrap.dedent(
    """
    import os, signal, sys
    def end(*_):
        with open({order!r}, "a") as file:
            file.write({name!r} + " ")
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    signal.pause()
    """
)
ZYGOTE: Final = textwrap.dedent(
    """
    import os, signal
    from runtime.cluster.parentage import die_with_parent
    supervisor = os.getppid()
    if os.fork() == 0:
        if os.fork() != 0:
            os._exit(0)
        while os.getppid() != supervisor:
            pass
        die_with_parent(supervisor)
        print("worker", os.getpid(), flush=True)
        signal.pause()
    os.wait()
    signal.pause()
    """
)


class Supervised:
    """A supervisor of test children and the client for it."""

    def __init__(self, directory: Path, children: dict[str, str], *, lifeline: int | None = None) -> None:
        self.layout = NodeLayout(directory)
        words = [word for item in children.items() for word in item]
        passed = () if lifeline is None else (lifeline,)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", LAUNCHER, str(directory), "" if lifeline is None else str(lifeline), *words],
            pass_fds=passed,
            stderr=subprocess.PIPE,
        )
        self.client = SupervisorClient(self.layout.socket("supervisor"))

    async def processes(self) -> dict[str, SupervisedProcess]:
        """All children, once every one has been started."""
        while True:
            try:
                listed = {process.id: process for process in await self.client.processes()}
                if all(process.pid for process in listed.values()):
                    return listed
            except SupervisorUnavailable:
                assert self.process.poll() is None
            await anyio.sleep(0.01)

    async def printed(self, child: str, count: int = 1) -> list[str]:
        """The first lines of a child's output."""
        output = self.layout.logs / f"{child}.out"
        while not output.exists() or len(lines := output.read_text().splitlines()) < count:  # noqa: ASYNC110  a file of another process
            await anyio.sleep(0.01)
        return lines

    async def ended(self) -> int:
        return await anyio.to_thread.run_sync(lambda: self.process.wait(10))


@pytest.fixture
def made() -> Iterator[list[Supervised]]:
    supervisors: list[Supervised] = []
    yield supervisors
    for supervisor in supervisors:
        supervisor.process.kill()
        supervisor.process.wait()
        assert supervisor.process.stderr is not None
        supervisor.process.stderr.close()


@pytest.fixture(autouse=True)
async def _within_limit() -> AsyncIterator[None]:
    """Nothing here may hang the suite: a test that takes 20 s has failed."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(20)
    yield
    signal.alarm(0)


def _too_late(_signum: int, _frame: object) -> None:
    raise TimeoutError("the test took more than 20 s")


async def gone(processes: list[tuple[int, int]]) -> None:
    """Returns when none of (pid, start ticks) runs; the kernel needs a moment to deliver a signal."""
    while any(is_alive(pid, ticks) for pid, ticks in processes):  # noqa: ASYNC110  processes of others
        await anyio.sleep(0.01)


async def next_exit(events: AsyncIterator[ProcessExit], child: str) -> ProcessExit:
    async for event in events:
        if event.id == child:
            return event
    raise AssertionError("the events ended")


async def test_a_killed_child_is_started_again_and_counted(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(node := Supervised(tmp_path, {"gateway": SLEEPER}))
    before = (await node.processes())["gateway"]
    os.kill(before.pid, signal.SIGKILL)
    await gone([(before.pid, before.start_ticks)])
    after = (await node.processes())["gateway"]
    assert after.pid != before.pid
    assert (after.restarts, after.last_exit) == (1, "killed by SIGKILL")


async def test_a_child_that_fails_at_once_waits_longer_each_time_and_says_why(
    tmp_path: Path, made: list[Supervised]
) -> None:
    made.append(node := Supervised(tmp_path, {"control": SLEEPER}))
    await node.processes()
    events = node.client.exits()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.client.signal, "control", "SIGKILL")
        assert (await next_exit(events, "control")).status == -signal.SIGKILL
    await events.aclose()  # type: ignore[attr-defined]
    started = await node.client.start("worker-bad", kind="worker", module="no_such_module", restart=False)
    await gone([(started.pid, started.start_ticks)])
    listed = {process.id: process for process in await node.client.processes()}["worker-bad"]
    assert listed.state == "stopped"
    assert "No module named no_such_module" in listed.last_exit


async def test_stop_waits_and_kills_a_child_that_ignores_sigterm(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(node := Supervised(tmp_path, {"gateway": STUBBORN}))
    before = (await node.processes())["gateway"]
    await node.printed("gateway")
    await node.client.stop("gateway", grace_s=0.1)
    assert not is_alive(before.pid, before.start_ticks)
    (stopped,) = await node.client.processes()
    assert (stopped.state, stopped.pid, stopped.last_exit) == ("stopped", 0, "killed by SIGKILL")


async def test_restart_replaces_the_process_without_back_off(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(node := Supervised(tmp_path, {"gateway": SLEEPER}))
    before = (await node.processes())["gateway"]
    await node.client.restart("gateway")
    assert (await node.processes())["gateway"].pid != before.pid


async def test_sigterm_ends_control_first_and_the_store_last(tmp_path: Path, made: list[Supervised]) -> None:
    order = tmp_path / "order"
    names = ("store", "control", "gateway", "zygote-default")
    made.append(node := Supervised(tmp_path, {name: RECORDER.format(order=str(order), name=name) for name in names}))
    await node.processes()
    for name in names:
        await node.printed(name)
    node.process.terminate()
    assert await node.ended() == 0
    assert order.read_text().split() == ["control", "gateway", "zygote-default", "store"]
    assert not node.layout.socket("supervisor").exists()


async def test_a_second_sigterm_hurries_past_children_that_hang(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(node := Supervised(tmp_path, {name: STUBBORN for name in ("store", "control", "gateway")}))
    await node.processes()
    node.process.terminate()
    await anyio.sleep(0.05)
    node.process.terminate()
    assert await node.ended() == 0


async def test_the_node_ends_when_its_lifeline_closes(tmp_path: Path, made: list[Supervised]) -> None:
    reading, writing = os.pipe()
    made.append(node := Supervised(tmp_path, {"gateway": SLEEPER}, lifeline=reading))
    os.close(reading)
    gateway = (await node.processes())["gateway"]
    os.close(writing)
    assert await node.ended() == 0
    assert not is_alive(gateway.pid, gateway.start_ticks)


async def test_kill_minus_nine_of_the_supervisor_ends_children_and_workers(
    tmp_path: Path, made: list[Supervised]
) -> None:
    """Whatever outlives a dead node's supervisor would hold its ports and answer for a node that is gone."""
    made.append(node := Supervised(tmp_path, {"gateway": STUBBORN, "zygote-default": ZYGOTE}))
    listed = await node.processes()
    (line,) = await node.printed("zygote-default")
    worker = int(line.split()[1])
    all_of_them = [(process.pid, process.start_ticks) for process in listed.values()]
    all_of_them.append((worker, start_ticks(worker)))
    node.process.kill()
    await gone(all_of_them)


async def test_a_worker_outlives_its_zygote_and_its_end_is_reported_under_its_id(
    tmp_path: Path, made: list[Supervised]
) -> None:
    made.append(node := Supervised(tmp_path, {"zygote-default": ZYGOTE}))
    zygote = (await node.processes())["zygote-default"]
    (line,) = await node.printed("zygote-default")
    worker = int(line.split()[1])
    ticks = start_ticks(worker)
    await node.client.adopt("w-1", kind="worker", pid=worker, start_ticks=ticks, note="sha")
    os.kill(zygote.pid, signal.SIGKILL)
    await gone([(zygote.pid, zygote.start_ticks)])
    assert is_alive(worker, ticks)
    events = node.client.exits()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.client.signal, "w-1", "SIGKILL")
        exit_ = await next_exit(events, "w-1")
    await events.aclose()  # type: ignore[attr-defined]
    assert (exit_.pid, exit_.status, exit_.kind) == (worker, -signal.SIGKILL, "worker")
    await node.client.forget("w-1")
    assert "w-1" not in {process.id for process in await node.client.processes()}


async def test_running_twice_on_one_directory_is_refused(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(first := Supervised(tmp_path, {"gateway": SLEEPER}))
    await first.processes()
    made.append(second := Supervised(tmp_path, {}))
    assert await second.ended() == 1
    assert second.process.stderr is not None
    assert f"supervisor pid {first.process.pid}" in second.process.stderr.read().decode()
    assert (await first.processes())["gateway"].pid


async def test_sockets_that_a_killed_node_left_are_cleared(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(first := Supervised(tmp_path, {"gateway": SLEEPER}))
    await first.processes()
    first.process.kill()
    first.process.wait()
    (first.layout.run / "w-old.sock").touch()
    made.append(second := Supervised(tmp_path, {"gateway": SLEEPER}))
    await second.processes()
    assert not (second.layout.run / "w-old.sock").exists()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"op": "dance"}, "unknown op"),
        ({"op": "stop", "id": "nobody"}, "no process is called"),
        ({"op": "start", "id": "../x", "kind": "worker", "module": "a"}, "is no process id"),
        ({"op": "start", "id": "x", "kind": "worker", "module": "a; rm"}, "is no module name"),
        ({"op": "signal", "pid": 1, "signal": "SIGKILL"}, "no such process below"),
        ({"op": "signal", "id": "gateway", "signal": "KILL"}, "unknown signal"),
        ({"op": "adopt", "id": "w", "kind": "worker", "pid": 1, "start_ticks": 1}, "does not run below"),
        ({"op": "forget", "id": "gateway"}, "stop it first"),
        ([1], "one line of JSON"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_sentence(
    tmp_path: Path, made: list[Supervised], request_: object, sentence: str
) -> None:
    made.append(node := Supervised(tmp_path, {"gateway": SLEEPER}))
    await node.processes()
    async with await anyio.connect_unix(node.layout.socket("supervisor")) as stream:
        await stream.send(json.dumps(request_).encode() + b"\n")
        answer = json.loads(await stream.receive())
    assert answer["ok"] is False
    assert sentence in answer["error"]
    assert (await node.processes())["gateway"].pid


async def test_the_client_says_so_when_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(SupervisorUnavailable):
        await SupervisorClient(tmp_path / "none.sock").processes()


async def test_the_client_passes_a_refusal_on(tmp_path: Path, made: list[Supervised]) -> None:
    made.append(node := Supervised(tmp_path, {"gateway": SLEEPER}))
    await node.processes()
    with pytest.raises(SupervisorRefused, match="no process is called"):
        await node.client.stop("nobody")
