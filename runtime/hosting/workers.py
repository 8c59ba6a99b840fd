"""Worker processes of a node: started through zygotes, listed by the supervisor, which outlives both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from runtime.cluster.layout import NodeLayout
from runtime.cluster.supervision import (
    ProcessExit,
    SupervisedProcess,
    SupervisorClient,
    SupervisorRefused,
    SupervisorUnavailable,
)
from runtime.hosting.errors import WorkerStartFailed
from runtime.hosting.ports import PreparedArtifact, RunningWorker, WorkerExit, WorkerSpec
from runtime.hosting.zygote_client import ZygoteClient, ZygoteHello, ZygoteSilent
from runtime.names import Sha256

ZYGOTE_MODULE: Final = "agent_api.assemble.zygote"
APPEAR_LOOK_S: Final = 0.5
APPEAR_LOOKS: Final = 40  # 20 s: a preload of numpy and friends takes about 3 s on a busy machine
RESTARTS_MAX: Final = 2
_KILLED: Final = -9

Notice = Callable[[str, dict[str, str]], None]
"""(event, fields): for the log and the events of the node."""


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the zygote leaves with the supervisor about a worker."""

    sha256: str = ""
    set: str = "default"
    memory_mb_max: int = 0


class ZygoteWorkerHost:
    """Implements WorkerHost. Remembers nothing that the supervisor does not know: control may restart at any time."""

    def __init__(self, layout: NodeLayout, supervisor: SupervisorClient, *, notice: Notice) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._notice = notice
        self._spawn_told: dict[str, str] = {}

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """Returns once the worker listens. Raises WorkerStartFailed with the reason."""
        name = spec.artifact.dependency_set
        try:
            await self._start_zygote(spec.artifact)
        except (SupervisorUnavailable, SupervisorRefused) as error:
            raise WorkerStartFailed(f"no zygote for dependency set {name}: {error}") from error
        zygote = self._zygote(name)
        hello = await self._hello(name, zygote)
        if hello.mode == "spawn" and self._spawn_told.get(name) != hello.reason:
            self._spawn_told[name] = hello.reason
            self._notice("workers_spawned_instead_of_forked", {"dependency_set": name, "reason": hello.reason})
        pid, ticks = await zygote.start(spec)
        return RunningWorker(worker=spec.worker, pid=pid, start_ticks=ticks, artifact_sha256=spec.artifact.sha256)

    async def stop(self, worker: str, *, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after the grace. One that does not run is no error."""
        if any(process.id == worker for process in await self._supervisor.processes()):
            await self._supervisor.stop(worker, grace_s=grace_s)

    async def running(self) -> tuple[RunningWorker, ...]:
        processes = await self._supervisor.processes()
        return tuple(_running(process) for process in processes if process.kind == "worker" and process.pid)

    async def exits(self) -> AsyncIterator[WorkerExit]:
        """Every end of a worker from now on; compare with `running` after a restart."""
        async for ended in self._supervisor.exits():
            if ended.kind == "worker":
                yield await self._explained(ended)

    async def _start_zygote(self, artifact: PreparedArtifact) -> None:
        arguments = ["--set", artifact.dependency_set]
        if artifact.packages:
            arguments += ["--packages", artifact.packages]
        if artifact.preload:
            arguments += ["--preload", ",".join(artifact.preload)]
        await self._supervisor.start(
            f"zygote-{artifact.dependency_set}", kind="zygote", module=ZYGOTE_MODULE, arguments=arguments
        )

    async def _hello(self, name: str, zygote: ZygoteClient) -> ZygoteHello:
        """Waits while the zygote preloads, but not for one that keeps ending."""
        for _ in range(APPEAR_LOOKS):
            try:
                return await zygote.hello(limit_s=APPEAR_LOOK_S)
            except ZygoteSilent:
                process = next((p for p in await self._known() if p.id == f"zygote-{name}"), None)
                if process is not None and process.restarts >= RESTARTS_MAX and process.state != "running":
                    raise WorkerStartFailed(f"the zygote of dependency set {name} ends: {process.last_exit}") from None
        raise WorkerStartFailed(f"the zygote of dependency set {name} did not listen in time")

    async def _explained(self, ended: ProcessExit) -> WorkerExit:
        note = _Note()
        for process in await self._known():
            if process.id == ended.id:
                note = _note(process)
                if not process.pid:  # a worker of the same id may run again already
                    await self._forget(process.id)
        last = await self._zygote(note.set).last_words(ended.id)
        reason = explain(ended.status, ended.reason, last.line, last.reason, note.memory_mb_max)
        status = 0 if ended.status is None else ended.status
        return WorkerExit(worker=ended.id, pid=ended.pid, status=status, reason=reason)

    async def _known(self) -> tuple[SupervisedProcess, ...]:
        try:
            return await self._supervisor.processes()
        except SupervisorUnavailable:
            return ()

    async def _forget(self, worker: str) -> None:
        try:
            await self._supervisor.forget(worker)
        except (SupervisorRefused, SupervisorUnavailable) as error:
            self._notice("worker_not_forgotten", {"worker": worker, "reason": str(error)})

    def _zygote(self, name: str) -> ZygoteClient:
        return ZygoteClient(self._layout.socket(f"zygote-{name}"))


def explain(status: int | None, how: str, last_line: str, killed_because: str, memory_mb_max: int) -> str:
    """One sentence for people: how a worker ended, why if that is known, and what it printed last."""
    if killed_because:
        return f"killed by the node: {killed_because}"
    sentence = how
    if status == _KILLED:
        limit = (
            f"; was it the machine's memory? (the worker's own limit is {memory_mb_max} MB)" if memory_mb_max else ""
        )
        sentence = f"killed by signal 9{limit}"
    return f"{sentence}: {last_line}" if last_line and status != 0 else sentence


def _running(process: SupervisedProcess) -> RunningWorker:
    return RunningWorker(
        worker=process.id,
        pid=process.pid,
        start_ticks=process.start_ticks,
        artifact_sha256=Sha256(_note(process).sha256),
    )


def _note(process: SupervisedProcess) -> _Note:
    try:
        return msgspec.json.decode(process.note, type=_Note)
    except msgspec.DecodeError:  # listed by somebody else
        return _Note()
