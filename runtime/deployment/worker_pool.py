"""This node's worker processes: one per artifact version, started when first needed, stopped when empty."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from runtime.cluster.membership import Lines
from runtime.hosting.ports import PreparedArtifact, RunningWorker, WorkerHost, WorkerSpec
from runtime.hosting.remote import RemoteInstanceHost
from runtime.invocation.errors import CallFault
from runtime.invocation.link import Link
from runtime.invocation.listener import connect_unix
from runtime.names import Sha256

PROBE_S: Final = 1.0
SILENT_S_MAX: Final = 10.0  # a loop that is blocked for this long is not coming back
STOP_GRACE_S: Final = 2.0


@dataclass(slots=True)
class PooledWorker:
    """`users` are the instances it hosts; `lost` is set, with the reason, when the process has ended."""

    id: str
    sha256: Sha256
    link: Link
    users: set[tuple[str, int]] = field(default_factory=set)
    lost: anyio.Event = field(default_factory=anyio.Event)
    reason: str = ""
    silent_since_s: float = 0.0

    async def host(self) -> RemoteInstanceHost:
        return RemoteInstanceHost(await self.link.connection())


class WorkerPool:
    """All workers of the node. `run_probe` and `run_exits` must run."""

    def __init__(
        self, *, workers: WorkerHost, socket: Callable[[str], Path], now_s: Callable[[], float], log: Lines
    ) -> None:
        self._workers = workers
        self._socket = socket
        self._now_s = now_s
        self._log = log
        self._by_sha: dict[Sha256, PooledWorker] = {}
        self._starting: dict[Sha256, anyio.Lock] = {}
        self._counter = itertools.count(int(now_s() * 1_000) % 1_000_000)

    def all(self) -> tuple[PooledWorker, ...]:
        return tuple(self._by_sha.values())

    async def use(self, artifact: PreparedArtifact, user: tuple[str, int], *, memory_mb_max: int) -> PooledWorker:
        """The worker of that artifact, started if need be. Raises WorkerStartFailed."""
        lock = self._starting.setdefault(artifact.sha256, anyio.Lock())
        async with lock:
            worker = self._by_sha.get(artifact.sha256)
            if worker is None or worker.lost.is_set():
                name = f"w-{artifact.sha256[:12]}-{next(self._counter)}"
                spec = WorkerSpec(worker=name, artifact=artifact, memory_mb_max=memory_mb_max)
                started = await self._workers.start(spec)
                worker = self._known(started)
            worker.users.add(user)
            return worker

    async def release(self, worker: PooledWorker, user: tuple[str, int]) -> None:
        """Stops the worker with its last user."""
        worker.users.discard(user)
        if not worker.users and self._by_sha.get(worker.sha256) is worker:
            del self._by_sha[worker.sha256]
            await worker.link.close()
            await self._workers.stop(worker.id, grace_s=STOP_GRACE_S)

    async def adopt(self) -> tuple[PooledWorker, ...]:
        """Workers that an earlier control started and that still run; of two for one artifact the newer stays."""
        for running in await self._workers.running():
            if running.artifact_sha256 in self._by_sha:
                await self._workers.stop(running.worker, grace_s=STOP_GRACE_S)
            else:
                self._known(running)
        return self.all()

    async def drop_unused(self) -> None:
        for worker in self.all():
            if not worker.users:
                self._log.info("worker_not_needed", worker=worker.id)
                await self.release(worker, ("", 0))

    async def run_exits(self) -> None:
        async for ended in self._workers.exits():
            self._log.warning("worker_ended", worker=ended.worker, pid=ended.pid, reason=ended.reason)
            for worker in self.all():
                if worker.id == ended.worker:
                    await self._lose(worker, ended.reason)

    async def run_probe(self) -> None:
        """Kills a worker that does not answer for ten seconds: a blocked loop serves nobody and holds its memory."""
        while True:
            await anyio.sleep(PROBE_S)
            async with anyio.create_task_group() as tasks:
                for worker in self.all():
                    tasks.start_soon(self._probe, worker)

    async def _probe(self, worker: PooledWorker) -> None:
        try:
            await (await worker.host()).instances()
            worker.silent_since_s = 0.0
        except CallFault as error:
            now_s = self._now_s()
            worker.silent_since_s = worker.silent_since_s or now_s
            if now_s - worker.silent_since_s > SILENT_S_MAX and not worker.lost.is_set():
                self._log.warning("worker_silent", worker=worker.id, reason=str(error))
                reason = f"its event loop did not answer for {SILENT_S_MAX:.0f} s (a blocking call?); it was killed"
                await self._lose(worker, reason)
                await self._workers.stop(worker.id, grace_s=0.1)

    async def _lose(self, worker: PooledWorker, reason: str) -> None:
        if self._by_sha.get(worker.sha256) is worker:
            del self._by_sha[worker.sha256]
        worker.reason = worker.reason or reason
        worker.lost.set()
        await worker.link.close()

    def _known(self, running: RunningWorker) -> PooledWorker:
        path = self._socket(running.worker)
        link = Link(lambda: connect_unix(path), name=running.worker).start()
        worker = PooledWorker(running.worker, running.artifact_sha256, link)
        self._by_sha[running.artifact_sha256] = worker
        return worker
