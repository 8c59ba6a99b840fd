"""What the processes of a node say of themselves each second, gathered for its telemetry."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Set
from typing import Final

import anyio
import msgspec

from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.worker_pool import PooledWorker, WorkerPool
from runtime.invocation.errors import CallFault
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import ProcessReport

GATEWAY: Final = "gateway"
REPORTS_S: Final = 0.7  # of each second, to gather reports in
ASKED_IN_VAIN: Final = 6
"""Times in a row, a second each, after which a process that used to answer is silent: a busy one misses a few."""


class ProcessReports:
    """Of this node's control, gateway and workers. With the question they hear the log level."""

    def __init__(
        self, *, recorder: Recorder, gateway: GatewayLink, pool: WorkerPool, log_level: Callable[[], str]
    ) -> None:
        self._recorder = recorder
        self._gateway = gateway
        self._pool = pool
        self._log_level = log_level
        self._missed: dict[str, int] = {}
        """Of those that answered before: how often in a row they did not since."""

    def silent(self) -> tuple[str, ...]:
        """Processes that run and answer nothing. One that has just begun is none."""
        return tuple(sorted(name for name, times in self._missed.items() if times >= ASKED_IN_VAIN))

    async def gather(self) -> tuple[ProcessReport, ...]:
        """One that does not answer in time is left out."""
        found = [self._recorder.report("control")]
        level = self._log_level()
        workers, answered = self._pool.all(), set[str]()

        async def ask(name: str, source: Callable[[], Awaitable[bytes]]) -> None:
            with contextlib.suppress(CallFault, msgspec.DecodeError):
                found.append(msgspec.msgpack.decode(await source(), type=ProcessReport))
                answered.add(name)

        async def of_worker(worker: PooledWorker) -> bytes:
            return await (await worker.host()).stats(level)

        with anyio.move_on_after(REPORTS_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, GATEWAY, functools.partial(self._gateway.stats, level))
                tasks.start_soon(ask, GATEWAY, self._gateway.host_stats)
                for worker in workers:
                    tasks.start_soon(ask, worker.id, functools.partial(of_worker, worker))
        self._note({GATEWAY, *(each.id for each in workers)}, answered)
        return tuple(found)

    def _note(self, asked: Set[str], answered: Set[str]) -> None:
        self._missed = {
            name: 0 if name in answered else self._missed[name] + 1
            for name in asked
            if name in answered or name in self._missed
        }
