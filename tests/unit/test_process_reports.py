"""Which processes of a node are silent: those that used to answer, and were asked in vain several times in a row."""

from __future__ import annotations

from typing import cast

import anyio
import msgspec
import pytest

from agent_api.assemble import reports
from agent_api.assemble.reports import ASKED_IN_VAIN, ProcessReports
from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.worker_pool import PooledWorker, WorkerPool
from runtime.invocation.errors import NoReply, NotStarted
from runtime.telemetry.recorder import Recorder

pytestmark = pytest.mark.anyio


class Process:
    """In place of a worker, of its host, and of the link to a gateway. `hangs`: it never answers."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.hangs = False
        self.ended = False

    async def host(self) -> Process:
        return self

    async def stats(self, _level: str) -> bytes:
        if self.hangs:
            await anyio.sleep_forever()
        if self.ended:
            raise NotStarted("it is gone")
        return msgspec.msgpack.encode(Recorder().report(self.id))

    async def host_stats(self) -> bytes:
        raise NoReply("nothing is hosted inline")


class Pool:
    def __init__(self, *workers: Process) -> None:
        self.workers = workers

    def all(self) -> tuple[PooledWorker, ...]:
        return cast(tuple[PooledWorker, ...], self.workers)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is waited for no longer than it takes others to answer."""
    monkeypatch.setattr(reports, "REPORTS_S", 0.02)


def made(gateway: Process, pool: Pool) -> ProcessReports:
    link, workers = cast(GatewayLink, gateway), cast(WorkerPool, pool)
    return ProcessReports(recorder=Recorder(), gateway=link, pool=workers, log_level=lambda: "info")


async def test_one_that_answered_and_then_hangs_is_silent_until_it_answers_again() -> None:
    gateway, worker = Process("gateway"), Process("w-1")
    found = made(gateway, Pool(worker))
    await found.gather()
    worker.hangs = True
    for _ in range(ASKED_IN_VAIN - 1):
        await found.gather()
    assert found.silent() == (), "a busy one misses a few"
    await found.gather()
    assert found.silent() == ("w-1",)
    worker.hangs = False
    await found.gather()
    assert found.silent() == ()


async def test_one_that_has_never_answered_is_still_beginning_and_one_that_is_gone_is_forgotten() -> None:
    gateway, worker = Process("gateway"), Process("w-1")
    gateway.ended = worker.hangs = True
    pool = Pool(worker)
    found = made(gateway, pool)
    for _ in range(ASKED_IN_VAIN + 1):
        await found.gather()
    assert found.silent() == ()
    gateway.ended = False
    worker.hangs = False
    await found.gather()
    worker.hangs = True
    for _ in range(ASKED_IN_VAIN):
        await found.gather()
    assert found.silent() == ("w-1",)
    pool.workers = ()
    await found.gather()
    assert found.silent() == ()
