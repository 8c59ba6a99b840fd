"""A node of supervisor and zygotes alone, and artifacts written by hand, for tests of worker processes."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Final

import anyio
import msgspec

from runtime.cluster.identity import Listen, NodeIdentity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.supervision import SupervisorClient, SupervisorUnavailable
from runtime.hosting.ports import InstanceSettings, PreparedArtifact, RunningWorker, WorkerSpec
from runtime.hosting.remote import RemoteInstanceHost
from runtime.hosting.workers import ZygoteWorkerHost
from runtime.invocation.connection import Connection
from runtime.invocation.listener import connect_unix
from runtime.names import NodeId, Sha256
from runtime.sdk.contract import SliceContract

SUPERVISE: Final = """
import sys
from pathlib import Path
from runtime.cluster.layout import NodeLayout
from runtime.cluster.supervisor import supervise
supervise(NodeLayout(Path(sys.argv[1])), ())
"""
APPEAR_LIMIT_S: Final = 20.0


@dataclass
class WorkerNode:
    """What a test drives."""

    layout: NodeLayout
    supervisor: SupervisorClient
    host: ZygoteWorkerHost
    process: subprocess.Popen[bytes]
    notices: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    async def instance_host(self, worker: str) -> RemoteInstanceHost:
        connection = await connect_unix(self.layout.socket(worker))
        self.connections.append(connection)
        return RemoteInstanceHost(connection)

    async def call(self, target: str, *arguments: object, instance: int = 1) -> object:
        """A plain call over the connection opened last."""
        payload = msgspec.msgpack.encode(arguments)
        return msgspec.msgpack.decode(await self.connections[-1].call(target, payload, instance=instance))

    async def active(self, worker: str, artifact: PreparedArtifact, slice_name: str) -> RemoteInstanceHost:
        """A started worker with one active instance of the slice."""
        await self.host.start(WorkerSpec(worker=worker, artifact=artifact))
        host = await self.instance_host(worker)
        await host.load(artifact, InstanceSettings(slice=slice_name, number=1, version="1.0.0"))
        await host.activate(slice_name, 1)
        return host

    def log_lines(self, process: str) -> list[dict[str, object]]:
        found = []
        for path in sorted(self.layout.logs.rglob("*")):
            if path.is_file() and path.name.startswith(process):
                found += [msgspec.json.decode(line, type=dict[str, object]) for line in path.read_bytes().splitlines()]
        return found


@contextlib.asynccontextmanager
async def worker_node(directory: Path) -> AsyncIterator[WorkerNode]:
    layout = NodeLayout(directory)
    directory.mkdir(parents=True)
    write_identity(layout.identity, _identity())
    process = _supervise(directory)
    supervisor = SupervisorClient(layout.socket("supervisor"))
    notices: list[tuple[str, dict[str, str]]] = []
    host = ZygoteWorkerHost(layout, supervisor, notice=lambda event, fields: notices.append((event, fields)))
    node = WorkerNode(layout, supervisor, host, process, notices)
    try:
        with anyio.fail_after(APPEAR_LIMIT_S):
            await _answers(supervisor)
        yield node
    finally:
        for connection in node.connections:
            await connection.close()
        process.terminate()
        process.wait()


def _supervise(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-c", SUPERVISE, str(directory)])


async def _answers(supervisor: SupervisorClient) -> None:
    while True:
        with contextlib.suppress(SupervisorUnavailable):
            await supervisor.pid()
            return
        await anyio.sleep(0.01)


def _identity() -> NodeIdentity:
    listen = Listen(http=0, api=0, peer=0, control=0)
    return NodeIdentity(node=NodeId("n1"), cluster_id="test", role="worker", listen=listen)


def write_artifact(
    directory: Path, source: str, *, packages: str = "", preload: tuple[str, ...] = ()
) -> PreparedArtifact:
    """An unpacked wheel with one module `service`, whose slices are those named in `name="…"`."""
    code = directory / "code"
    code.mkdir(parents=True)
    text = dedent(source)
    (code / "service.py").write_text(text)
    digest = hashlib.sha256(text.encode() + packages.encode()).hexdigest()
    contract = SliceContract(name="shop", version="1.0.0", entry="service:Shop")
    return PreparedArtifact(
        sha256=Sha256(digest),
        code=str(code),
        packages=packages,
        dependency_set=f"set-{digest[:8]}" if packages or preload else "default",
        preload=preload,
        slices=(contract,),
    )


__all__ = ["RunningWorker", "WorkerNode", "worker_node", "write_artifact"]
