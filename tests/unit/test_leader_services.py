"""What only the leader does: it begins with the leadership, ends with it, and writes nothing after it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from runtime.cluster.leader_services import run_leader_services
from runtime.consensus.errors import NotLeader
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Leadership, Put, Revision, led_by
from runtime.names import NodeId

pytestmark = pytest.mark.anyio


class Lines:
    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        self.events.append(event)

    def warning(self, event: str, **fields: object) -> None:
        self.events.append(event)


class Service:
    """Tells when it runs; keeps the fence it was given."""

    def __init__(self) -> None:
        self.fences: list[Revision] = []
        self.running = 0
        self.changed = asyncio.Condition()

    async def run(self, fence: Revision) -> None:
        self.fences.append(fence)
        await self._now(1)
        try:
            await asyncio.Event().wait()
        finally:
            await self._now(0)

    async def _now(self, running: int) -> None:
        self.running = running
        async with self.changed:
            self.changed.notify_all()

    async def until(self, *, runs: bool, begun: int) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: (self.running, len(self.fences)) == (int(runs), begun))


async def test_services_live_exactly_as_long_as_the_leadership() -> None:
    store, service, noted = MemoryStore("n1"), Service(), list[Leadership]()
    task = asyncio.create_task(
        run_leader_services(store=store, node=NodeId("n1"), services=(service.run,), log=Lines(), noted=noted.append)
    )
    await service.until(runs=True, begun=1)
    store.engine.lead("n2")
    await service.until(runs=False, begun=1)
    store.engine.lead("n1")
    await service.until(runs=True, begun=2)
    assert service.fences == sorted(set(service.fences)), "each leadership has a higher fence"
    assert [each.leader for each in noted] == ["n1", "n2", "n1"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert service.running == 0


async def test_several_services_begin_and_end_together() -> None:
    store, services = MemoryStore("n1"), [Service(), Service(), Service()]
    task = asyncio.create_task(
        run_leader_services(
            store=store,
            node=NodeId("n1"),
            services=[each.run for each in services],
            log=Lines(),
            noted=lambda _: None,
        )
    )
    for leader, runs, begun in (("n1", True, 1), ("n2", False, 1), ("n1", True, 2)):
        store.engine.lead(leader)
        for each in services:
            await each.until(runs=runs, begun=begun)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_leader_that_was_replaced_writes_nothing() -> None:
    """It may have slept: its fence tells, whatever it still believes."""
    store = MemoryStore("n1")
    leadership = await anext(aiter(store.leadership()))
    store.engine.lead("n2")
    done = await store.txn([led_by(leadership.fence)], [Put(key="a", value=b"late")])
    assert not done.succeeded
    assert "a" not in store.items


async def test_a_service_that_loses_its_fence_is_begun_again_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.leader_services.RETRY_S", 0.0)
    store, lines, again = MemoryStore("n1"), Lines(), asyncio.Event()
    tries = 0

    async def loses(_fence: Revision) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            again.set()
            await asyncio.Event().wait()
        raise NotLeader("")

    task = asyncio.create_task(
        run_leader_services(store=store, node=NodeId("n1"), services=(loses,), log=lines, noted=lambda _: None)
    )
    await asyncio.wait_for(again.wait(), 5)
    assert lines.events == ["leadership_began", "leader_service_failed"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
