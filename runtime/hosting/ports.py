"""What the node deployment manager needs of hosting: workers to start and stop, instances to drive inside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from runtime.names import Sha256
from runtime.sdk.contract import SliceContract
from runtime.state.values import Phase


class PreparedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact ready to be imported. `code` and `packages` go to the front of the worker's `sys.path`."""

    sha256: Sha256
    code: str  # directory with the unpacked, verified wheel
    packages: str = ""  # site-packages of its dependency set; empty for the node's own environment
    dependency_set: str = "default"  # names the zygote that preloads it
    preload: tuple[str, ...] = ()  # third-party top-level modules to import before the fork
    slices: tuple[SliceContract, ...] = ()


class ArtifactSource(Protocol):
    """Turns a hash into code on disk; fetches from peers, verifies, makes the environment."""

    async def prepare(self, sha256: Sha256) -> PreparedArtifact: ...


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process to be: one per artifact version on a node."""

    worker: str  # "w-{sha256[:12]}-{counter}", unique on the node
    artifact: PreparedArtifact
    memory_mb_max: int = 512


class RunningWorker(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    pid: int
    start_ticks: int  # with the pid, tells this process from a later one with the same number
    artifact_sha256: Sha256


class WorkerExit(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is the exit code, or minus the signal. `reason` is a sentence for people."""

    worker: str
    pid: int
    status: int
    reason: str


class WorkerHost(Protocol):
    """Starts and stops worker processes through zygotes, and finds those of an earlier control again."""

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """Returns once the worker listens on its socket. Raises WorkerStartFailed with the reason."""
        ...

    async def stop(self, worker: str, *, grace_s: float) -> None: ...

    async def running(self) -> tuple[RunningWorker, ...]: ...

    def exits(self) -> AsyncIterator[WorkerExit]: ...


class InstanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance is told when it is loaded."""

    slice: str
    number: int
    version: str
    config: dict[str, str | int | float | bool] = {}
    start_timeout_ms: int = 5_000
    stop_timeout_ms: int = 5_000


class HostedInstance(msgspec.Struct, frozen=True, kw_only=True):
    slice: str
    number: int
    version: str
    phase: Phase
    reason: str = ""
    config: dict[str, str | int | float | bool] = {}


class InstanceHost(Protocol):
    """Drives instances in one worker process, or inline in the gateway. Failures raise InstanceFailed(reason)."""

    async def load(self, artifact: PreparedArtifact, settings: InstanceSettings) -> SliceContract:
        """Imports the code and constructs the slice: LOADING to LOADED."""
        ...

    async def activate(self, slice_name: str, number: int) -> None:
        """Runs `start()` under its time limit: ACTIVATING to ACTIVE."""
        ...

    async def deactivate(self, slice_name: str, number: int, *, drain_ms: int) -> None:
        """Takes no new calls, waits for those in progress, runs `stop()`: DEACTIVATING to LOADED."""
        ...

    async def unload(self, slice_name: str, number: int) -> None: ...

    async def instances(self) -> tuple[HostedInstance, ...]: ...
