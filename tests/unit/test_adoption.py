"""A control that begins again: what runs as assigned goes on untouched, and what should not run ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import anyio
import msgspec
import pytest

from runtime.clock import SystemClock
from runtime.cluster.membership import Publisher
from runtime.consensus.memory import MemoryStore
from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.node_manager import NodeManager
from runtime.deployment.view import StateView
from runtime.deployment.worker_pool import WorkerPool
from runtime.hosting.errors import InstanceFailed
from runtime.hosting.ports import ArtifactSource, HostedInstance
from runtime.names import NodeId, Sha256, SliceName, Version
from runtime.state.values import BlueprintSlice, InstanceAssignment, Phase

pytestmark = pytest.mark.anyio


def assigned(name: str) -> InstanceAssignment:
    settings = BlueprintSlice(
        slice=SliceName(name),
        version=Version("1"),
        artifact="shop==1",
        instances=1,
        min=1,
        max=1,
        config={"currency": "EUR"},
    )
    return InstanceAssignment(
        slice=settings.slice,
        number=1,
        version=settings.version,
        artifact_sha256=Sha256("s"),
        settings=settings,
        generation=1,
    )


def running(name: str, phase: Phase = Phase.ACTIVE, currency: str = "EUR") -> HostedInstance:
    return HostedInstance(slice=name, number=1, version="1", phase=phase, config={"currency": currency})


class Silent:
    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...


class Worker:
    """One worker with instances of several slices; writes down what is asked of it."""

    def __init__(self, *instances: HostedInstance) -> None:
        self.id, self.sha256 = "w-1", Sha256("s")
        self.users: set[tuple[str, int]] = set()
        self.lost, self.reason = anyio.Event(), ""
        self.hosted = instances
        self.did: list[str] = []

    async def host(self) -> Worker:
        return self

    async def instances(self) -> tuple[HostedInstance, ...]:
        return self.hosted

    async def deactivate(self, name: str, _number: int, *, drain_ms: int) -> None:
        self.did.append(f"deactivate {name}")
        if name == "stubborn":
            raise InstanceFailed("its stop() took longer than 5 s")

    async def unload(self, name: str, _number: int) -> None:
        self.did.append(f"unload {name}")


async def adopted(worker: Worker, *assignments: InstanceAssignment) -> set[str]:
    """The slices whose instances were taken over."""

    async def all_workers() -> tuple[Worker, ...]:
        return (worker,)

    async def drop_unused() -> None:
        if not worker.users:
            worker.did.append("stopped")

    async def pushed(*, limit_s: float) -> bool:
        return True

    by_key = {(each.slice, each.number): each for each in assignments}
    manager = NodeManager(
        node=NodeId("n1"),
        view=cast("StateView", SimpleNamespace(assignments=lambda _node: by_key)),
        source=cast("ArtifactSource", None),
        pool=cast("WorkerPool", SimpleNamespace(adopt=all_workers, drop_unused=drop_unused)),
        gateway=cast("GatewayLink", SimpleNamespace(pushed=pushed)),
        publisher=Publisher(MemoryStore()),
        clock=SystemClock(),
        log=Silent(),
    )
    async with anyio.create_task_group() as tasks:
        await manager._adopt(tasks)
        tasks.cancel_scope.cancel()
    return {endpoint.slice for endpoint in manager.endpoints()}


async def test_what_runs_as_assigned_is_taken_over_and_the_rest_of_its_worker_ends() -> None:
    worker = Worker(
        running("kept"),
        running("unassigned"),
        running("stubborn"),
        running("configured", currency="USD"),
        running("failed", Phase.FAILED),
    )
    assignments = [assigned(name) for name in ("kept", "configured", "failed")]
    assert await adopted(worker, *assignments) == {"kept"}
    assert worker.users == {("kept", 1)}
    assert sorted(worker.did) == [
        "deactivate configured",
        "deactivate stubborn",
        "deactivate unassigned",
        "unload configured",
        "unload failed",
        "unload unassigned",
    ]


async def test_a_worker_with_nothing_that_is_assigned_is_stopped_as_a_whole() -> None:
    worker = Worker(running("unassigned"))
    assert await adopted(worker) == set()
    assert worker.did == ["stopped"]


async def test_another_version_is_no_reason_to_keep_an_instance() -> None:
    worker = Worker(running("kept"), running("newer"))
    newer = msgspec.structs.replace(assigned("newer"), version=Version("2"))
    assert await adopted(worker, assigned("kept"), newer) == {"kept"}
    assert worker.did == ["deactivate newer", "unload newer"]
