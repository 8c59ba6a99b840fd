"""One instance's life on its node: in which order it is made known and taken back, and how it comes again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import anyio
import msgspec
import pytest

from runtime.clock import SystemClock
from runtime.consensus.signal import Signal
from runtime.deployment import instance_driver
from runtime.deployment.instance_driver import Driver
from runtime.deployment.node_manager import NodeManager
from runtime.hosting.errors import InstanceFailed
from runtime.hosting.ports import InstanceSettings
from runtime.invocation.errors import NotStarted
from runtime.names import NodeId, Sha256, SliceName, Version
from runtime.sdk.contract import DependencyContract, SliceContract
from runtime.state.values import BlueprintSlice, Endpoint, InstanceAssignment, InstanceState, Phase

pytestmark = pytest.mark.anyio

SETTINGS = BlueprintSlice(
    slice=SliceName("tea"),
    version=Version("1"),
    artifact="tea==1",
    instances=1,
    min=1,
    max=9,
    start_timeout_ms=700,
    stop_timeout_ms=300,
)
ASSIGNED = InstanceAssignment(
    slice=SETTINGS.slice,
    number=1,
    version=SETTINGS.version,
    artifact_sha256=Sha256("s"),
    settings=SETTINGS,
    generation=1,
)
NEEDS_WATER = SliceContract(
    name="tea",
    version="1",
    entry="m:C",
    dependencies=(DependencyContract(parameter="water", kind="slice", name="water"),),
)


class Cache:
    """A store's cache that holds nothing but its revision."""

    def __init__(self) -> None:
        self.signal = Signal()

    @property
    def revision(self) -> int:
        return self.signal.count

    async def changed(self, seen: int) -> None:
        await self.signal.after(seen)


class Node:
    """What a driver asks of its node, as a list of what it did in order."""

    def __init__(self, *, contract: SliceContract | None = None, failures: int = 0) -> None:
        self.node = NodeId("n1")
        self.did: list[str] = []
        self.states: list[InstanceState] = []
        self.retries_s: list[float] = []
        self.failures = failures
        self.contract = contract
        self.there: list[Endpoint] = []
        self.published: list[Endpoint] = []
        self.settings: InstanceSettings | None = None
        self.clock = SystemClock()
        self.worker = SimpleNamespace(id="w-1", lost=anyio.Event(), reason="", host=self.host)
        self.changes, self.cache = Signal(), Cache()
        self.source = self.pool = self.gateway = self.publisher = self.log = self
        self.view = SimpleNamespace(contract=lambda *_: self.contract, endpoints=lambda: self.there, cache=self.cache)
        self.driver = Driver(cast("NodeManager", self), ASSIGNED)

    # the node manager

    def publish_state(self, state: InstanceState) -> None:
        self.states.append(state)
        self.changes.fire()

    def publish_endpoint(self, endpoint: Endpoint) -> None:
        self.published.append(endpoint)
        self.did.append("endpoint published")
        self.changes.fire()

    def withdraw_endpoint(self, _endpoint: Endpoint) -> None:
        self.did.append("endpoint withdrawn")

    def forget(self, _driver: Driver) -> None:
        self.did.append("forgotten")

    # publisher, gateway, source, pool, log

    async def written(self, *, limit_s: float) -> bool:
        self.did.append("store has it")
        return True

    async def pushed(self, *, limit_s: float) -> bool:
        self.did.append(f"table with it {'in' if self.driver.serving else 'out'}")
        return True

    def push(self) -> None: ...

    async def prepare(self, _sha256: Sha256) -> None: ...

    async def use(self, _artifact: object, _user: object, *, memory_mb_max: int) -> object:
        return self.worker

    async def release(self, _worker: object, _user: object) -> None:
        self.did.append("worker released")

    def warning(self, _event: str, **fields: object) -> None:
        if "again_in_s" in fields:
            self.retries_s.append(cast("float", fields["again_in_s"]))

    # the worker

    async def host(self) -> Node:
        return self

    async def load(self, _artifact: object, settings: InstanceSettings) -> None:
        self.settings = settings
        self.did.append("loaded")

    async def activate(self, _slice: str, _number: int) -> None:
        if self.failures:
            self.failures -= 1
            raise InstanceFailed("its start() raised")
        self.did.append("started")

    async def deactivate(self, _slice: str, _number: int, *, drain_ms: int) -> None:
        self.did.append("drained and stopped")

    async def unload(self, _slice: str, _number: int) -> None:
        self.did.append("unloaded")

    # for tests

    async def phase(self, phase: Phase, reason: str = "") -> None:
        async with asyncio.timeout(5):
            while not self.states or (self.states[-1].phase, self.states[-1].reason) != (phase, reason):
                await self.changes.after(self.changes.count)

    @contextlib.asynccontextmanager
    async def driven(self):  # type: ignore[no-untyped-def]  # an async generator of nothing
        task = asyncio.create_task(self.driver.run())
        try:
            yield
            self.driver.assign(None)
            await asyncio.wait_for(task, 5)
        finally:
            task.cancel()


UP = ("loaded", "started", "table with it in", "endpoint published")
DOWN = ("endpoint withdrawn", "store has it", "table with it out", "drained and stopped", "unloaded", "worker released")


async def test_an_endpoint_is_published_last_and_withdrawn_first() -> None:
    """In between nobody is sent to an instance that does not take calls."""
    node = Node()
    async with node.driven():
        await node.phase(Phase.ACTIVE)
    assert node.did == [*UP, *DOWN, "forgotten"]
    assert node.settings is not None
    assert (node.settings.start_timeout_ms, node.settings.stop_timeout_ms) == (700, 300)


async def test_it_does_not_start_before_what_it_requires_has_an_endpoint() -> None:
    node = Node(contract=NEEDS_WATER)
    async with node.driven():
        await node.phase(Phase.LOADED, "waits for an endpoint of water")
        assert node.did == ["loaded"]
        node.there = [Endpoint(slice=SliceName("water"), version=Version("1"), node=NodeId("n2"), number=1)]
        node.cache.signal.fire()
        await node.phase(Phase.ACTIVE)


async def test_it_can_be_taken_back_while_it_waits() -> None:
    node = Node(contract=NEEDS_WATER)
    async with node.driven():
        await node.phase(Phase.LOADED, "waits for an endpoint of water")
    assert "started" not in node.did
    assert node.did[-3:] == ["unloaded", "worker released", "forgotten"]


async def test_it_waits_twice_as_long_after_each_failure_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_driver, "BACKOFF_S_MIN", 0.001)
    monkeypatch.setattr(instance_driver, "BACKOFF_S_MAX", 0.004)
    node = Node(failures=5)
    async with node.driven():
        await node.phase(Phase.ACTIVE)
    assert node.retries_s == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert (node.states[-1].restarts, node.states[-1].last_failure) == (5, "its start() raised")
    assert "endpoint published" not in node.did[: node.did.index("started")]


async def test_the_end_of_its_worker_is_its_failure_and_it_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_driver, "BACKOFF_S_MIN", 0.001)
    node = Node()
    async with node.driven():
        await node.phase(Phase.ACTIVE)
        lost, node.worker.lost, node.worker.reason = node.worker.lost, anyio.Event(), "killed by signal 9"
        node.driver.worker = cast("None", SimpleNamespace(id="w-1", lost=lost, reason="killed by signal 9"))
        lost.set()
        await node.phase(Phase.FAILED, "killed by signal 9")
        await node.phase(Phase.ACTIVE)
    assert node.states[-1].last_failure == "killed by signal 9"


def weighing(weights: Sequence[int]) -> list[InstanceAssignment]:
    return [
        msgspec.structs.replace(ASSIGNED, settings=msgspec.structs.replace(SETTINGS, weight=weight), generation=number)
        for number, weight in enumerate(weights, 2)
    ]


async def test_a_weight_that_changes_again_and_again_leaves_it_running() -> None:
    node = Node()
    async with node.driven():
        await node.phase(Phase.ACTIVE)
        for each in weighing(range(1_000)):
            node.driver.assign(each)
            async with asyncio.timeout(5):
                while node.published[-1].weight != each.settings.weight:
                    await node.changes.after(node.changes.count)
        node.driver.assign(weighing([55])[0])
        assert node.published[-1].weight == 999, "an older generation is ignored"
    assert node.did.count("started") == node.did.count("drained and stopped") == 1


async def test_one_that_ended_since_it_was_found_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else control would end with it."""
    monkeypatch.setattr(instance_driver, "BACKOFF_S_MIN", 0.001)
    node = Node()

    async def gone() -> Node:
        node.worker.host = node.host
        raise NotStarted("no connection to w-1")

    node.worker.host = gone  # type: ignore[assignment]
    node.driver.adopt(node.worker)  # type: ignore[arg-type]
    async with node.driven():
        await node.phase(Phase.FAILED, "no connection to w-1")
        await node.phase(Phase.ACTIVE)
