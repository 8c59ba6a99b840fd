"""Real zygotes and workers: what a slice does to its process it does to no other."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream

from evals.forge.waiting import came_true
from runtime.cluster.parentage import is_alive
from runtime.hosting.errors import InstanceFailed, WorkerStartFailed
from runtime.hosting.ports import InstanceSettings, WorkerExit, WorkerSpec
from runtime.hosting.workers import ZygoteWorkerHost
from runtime.invocation.errors import ConnectionLost, DeadlineExceeded, RemoteFault
from runtime.state.values import Phase
from tests.cluster.worker_node import WorkerNode, worker_node, write_artifact

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SHOP = """
import os, random, sys, time
from runtime.sdk import slice_

@slice_(name="shop", version="1.0.0")
class Shop:
    async def pid(self) -> int:
        return os.getpid()

    async def draw(self) -> float:
        return random.random()

    async def say(self, text: str) -> None:
        print("printed", text)
        os.write(2, f"raw {text}\\n".encode())

    async def die(self) -> None:
        os.write(2, b"Fatal: out of luck\\n")
        os._exit(7)

    async def quit(self) -> None:
        sys.exit(3)

    async def block(self) -> None:
        time.sleep(60)

    async def grow(self, mb: int) -> int:
        self.kept = [os.urandom(1024 * 1024) for _ in range(mb)]
        return len(self.kept)
"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[WorkerNode]:
    async with worker_node(tmp_path / "node") as made:
        yield made


def settings() -> InstanceSettings:
    return InstanceSettings(slice="shop", number=1, version="1.0.0")


@asynccontextmanager
async def exits(node: WorkerNode) -> AsyncIterator[MemoryObjectReceiveStream[WorkerExit]]:
    """The ends of workers."""
    send, receive = anyio.create_memory_object_stream[WorkerExit](16)

    async def forward() -> None:
        async for ended in node.host.exits():
            await send.send(ended)

    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(forward)
            with anyio.fail_after(10):
                yield receive
            group.cancel_scope.cancel()


async def test_a_forked_worker_serves_and_ends_in_order(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    host = await node.active("w-one", artifact, "shop")
    running = await node.host.running()
    assert [worker.worker for worker in running] == ["w-one"]
    assert await node.call("shop/pid") == running[0].pid
    assert running[0].artifact_sha256 == artifact.sha256
    socket = node.layout.socket("w-one")
    assert socket.stat().st_mode & 0o777 == 0o600
    await host.deactivate("shop", 1, drain_ms=100)
    await host.unload("shop", 1)
    assert await host.instances() == ()
    await node.host.stop("w-one", grace_s=5.0)
    assert not is_alive(running[0].pid, running[0].start_ticks)
    assert await node.host.running() == ()
    assert node.notices == []


async def test_workers_of_one_zygote_draw_different_random_numbers(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    await node.active("w-one", artifact, "shop")
    first = await node.call("shop/draw")
    await node.active("w-two", artifact, "shop")
    assert await node.call("shop/draw") != first


async def test_a_crash_harms_no_other_worker_and_says_why(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    await node.active("w-one", artifact, "shop")
    await node.active("w-two", artifact, "shop")
    async with exits(node) as ended:
        with pytest.raises(ConnectionLost):
            await node.call("shop/die")
        exit_ = await ended.receive()
    assert (exit_.worker, exit_.status) == ("w-two", 7)
    assert exit_.reason == "exited with status 7: Fatal: out of luck"
    assert [worker.worker for worker in await node.host.running()] == ["w-one"]


async def test_sys_exit_in_a_method_ends_the_call_and_not_the_worker(node: WorkerNode, tmp_path: Path) -> None:
    await node.active("w-one", write_artifact(tmp_path, SHOP), "shop")
    with pytest.raises(RemoteFault):
        await node.call("shop/quit")
    assert isinstance(await node.call("shop/pid"), int)


async def test_a_blocked_worker_is_seen_by_its_silence_and_can_be_stopped(node: WorkerNode, tmp_path: Path) -> None:
    host = await node.active("w-one", write_artifact(tmp_path, SHOP), "shop")
    async with anyio.create_task_group() as group:
        group.start_soon(_lost, node, "shop/block")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(DeadlineExceeded):
            await host.instances()
        await node.host.stop("w-one", grace_s=0.1)
    assert await node.host.running() == ()


async def _lost(node: WorkerNode, target: str) -> None:
    with pytest.raises((ConnectionLost, DeadlineExceeded)):
        await node.call(target)


async def test_a_worker_over_its_memory_limit_is_killed_with_the_figures(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    await node.host.start(WorkerSpec(worker="w-one", artifact=artifact, memory_mb_max=100))
    host = await node.instance_host("w-one")
    await host.load(artifact, settings())
    await host.activate("shop", 1)
    async with exits(node) as ended:
        await node.call("shop/grow", 120)
        exit_ = await ended.receive()
    assert exit_.status == -signal.SIGKILL
    assert "over its limit of 100 MB" in exit_.reason


async def test_a_burst_of_memory_raises_memory_error_in_the_slice_alone(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    await node.host.start(WorkerSpec(worker="w-one", artifact=artifact, memory_mb_max=100))
    host = await node.instance_host("w-one")
    await host.load(artifact, settings())
    await host.activate("shop", 1)
    with pytest.raises((RemoteFault, ConnectionLost)):
        await node.call("shop/grow", 4_000)


async def test_what_slices_print_becomes_log_lines(node: WorkerNode, tmp_path: Path) -> None:
    await node.active("w-one", write_artifact(tmp_path, SHOP), "shop")
    await node.call("shop/say", "hello")
    await node.host.stop("w-one", grace_s=5.0)
    printed = [line for line in node.log_lines("w-one") if line["event"] == "slice_printed"]
    assert [(line["instance"], line["stream"], line["line"]) for line in printed] == [
        ("shop/1", "stdout", "printed hello")
    ]

    def raw_lines() -> list[dict[str, object]]:
        return [line for line in node.log_lines("zygote-default") if line["event"] == "worker_output"]

    async def told() -> bool:
        return bool(raw_lines())

    await came_true(told, timeout_s=5.0, look_s=0.02)  # the zygote comes to the pipe of one that ended when it does
    raw = raw_lines()
    assert [(line["worker"], line["line"]) for line in raw] == [("w-one", "raw hello")]
    assert {line.get("node") for line in (*printed, *raw)} == {"n1"}, "merged, nobody could tell where it was printed"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("raise ValueError('bad import')", "importing service:Shop raised ValueError: bad import"),
        ("import sys; sys.exit(4)", "importing service:Shop raised SystemExit: 4"),
        ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
        ("x = 1", "names no class"),
        (
            """
            from runtime.sdk import slice_
            @slice_(name="shop", version="1.0.0")
            class Shop:
                def take(self) -> int: ...
            """,
            "is public but not async",
        ),
        (
            """
            from runtime.sdk import slice_
            @slice_(name="shop", version="1.0.0")
            class Shop:
                def __init__(self) -> None:
                    raise RuntimeError("no")
                async def take(self) -> int: ...
            """,
            "its constructor raised RuntimeError: no",
        ),
    ],
)
async def test_a_slice_that_cannot_be_loaded_says_why(node: WorkerNode, tmp_path: Path, source: str, part: str) -> None:
    artifact = write_artifact(tmp_path, source)
    await node.host.start(WorkerSpec(worker="w-one", artifact=artifact))
    host = await node.instance_host("w-one")
    with pytest.raises(InstanceFailed) as caught:
        await host.load(artifact, settings())
    assert part in str(caught.value)
    (state,) = await host.instances()
    assert state.phase is Phase.FAILED
    assert part in state.reason


async def test_a_start_that_takes_too_long_fails_at_its_limit(node: WorkerNode, tmp_path: Path) -> None:
    source = """
    import asyncio
    from runtime.sdk import slice_
    @slice_(name="shop", version="1.0.0")
    class Shop:
        async def start(self) -> None:
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        async def take(self) -> int: ...
    """
    artifact = write_artifact(tmp_path, source)
    await node.host.start(WorkerSpec(worker="w-one", artifact=artifact))
    host = await node.instance_host("w-one")
    await host.load(artifact, InstanceSettings(slice="shop", number=1, version="1.0.0", start_timeout_ms=100))
    with pytest.raises(InstanceFailed, match=r"start\(\) took longer than 0\.1 s"):
        await host.activate("shop", 1)


def dependency_set(directory: Path, version: str, *, body: str = "") -> str:
    package = directory / "packages" / "tariff"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"VERSION = {version!r}\n{body}")
    return str(directory / "packages")


TARIFF_SHOP = """
import importlib.util
import tariff
from runtime.sdk import slice_

@slice_(name="shop", version="1.0.0")
class Shop:
    async def version(self) -> str:
        return tariff.VERSION

    async def sees(self, module: str) -> bool:
        return importlib.util.find_spec(module) is not None
"""


async def test_two_versions_of_one_library_work_side_by_side(node: WorkerNode, tmp_path: Path) -> None:
    for name, version in (("a", "1.0"), ("b", "2.0")):
        packages = dependency_set(tmp_path / name, version)
        artifact = write_artifact(tmp_path / name, TARIFF_SHOP, packages=packages, preload=("tariff",))
        await node.active(f"w-{name}", artifact, "shop")
        assert await node.call("shop/version") == version
        assert await node.call("shop/sees", "pydantic") is False
        assert await node.call("shop/sees", "json") is True
    assert node.notices == []


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
            "1 more thread",
        ),
        ("raise ValueError('no licence')", "importing tariff raised ValueError: no licence"),
    ],
)
async def test_a_set_that_may_not_fork_is_spawned_and_says_why(
    node: WorkerNode, tmp_path: Path, body: str, part: str
) -> None:
    packages = dependency_set(tmp_path, "1.0", body=body)
    artifact = write_artifact(tmp_path, SHOP, packages=packages, preload=("tariff",))
    await node.active("w-one", artifact, "shop")
    assert isinstance(await node.call("shop/pid"), int)
    ((event, fields),) = node.notices
    assert event == "workers_spawned_instead_of_forked"
    assert part in fields["reason"]


async def test_workers_outlive_their_zygote_and_a_new_control_finds_them(node: WorkerNode, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, SHOP)
    await node.active("w-one", artifact, "shop")
    before = await node.host.running()
    await node.supervisor.signal("zygote-default", "SIGKILL")
    assert await node.call("shop/pid") == before[0].pid
    other = ZygoteWorkerHost(node.layout, node.supervisor, notice=lambda event, fields: None)
    assert await other.running() == before
    await node.active("w-two", artifact, "shop")  # by the zygote's successor
    assert {worker.worker for worker in await other.running()} == {"w-one", "w-two"}


async def test_workers_die_with_the_supervisor(node: WorkerNode, tmp_path: Path) -> None:
    await node.active("w-one", write_artifact(tmp_path, SHOP), "shop")
    (worker,) = await node.host.running()
    pidfd = os.pidfd_open(worker.pid)
    node.process.kill()
    with anyio.fail_after(5):
        await anyio.wait_readable(pidfd)
    os.close(pidfd)


async def test_a_worker_that_cannot_start_says_why(node: WorkerNode, tmp_path: Path) -> None:
    node.layout.identity.unlink()
    with pytest.raises(WorkerStartFailed, match="FileNotFoundError"):
        await node.host.start(WorkerSpec(worker="w-one", artifact=write_artifact(tmp_path, SHOP)))
