"""What only the leader does: one task group that lives exactly as long as the leadership."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from runtime.cluster.membership import Lines
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Leadership, Revision, Store
from runtime.names import NodeId

RETRY_S: Final = 0.5

LeaderService = Callable[[Revision], Awaitable[None]]
"""Takes the fence. It ends by being cancelled; every write it makes compares the fence."""


async def run_leader_services(
    *, store: Store, node: NodeId, services: Sequence[LeaderService], log: Lines, noted: Callable[[Leadership], None]
) -> None:
    """Starts the services when this node becomes leader and ends them when it stops being so. Never returns."""
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        async for leadership in store.leadership():
            scope.cancel()
            noted(leadership)
            if leadership.leader == node:
                scope = anyio.CancelScope()
                log.info("leadership_began", fence=leadership.fence)
                tasks.start_soon(_lead, services, leadership.fence, scope, log)


async def _lead(services: Sequence[LeaderService], fence: Revision, scope: anyio.CancelScope, log: Lines) -> None:
    with scope:
        async with anyio.create_task_group() as tasks:
            for service in services:
                tasks.start_soon(_run, service, fence, log)


async def _run(service: LeaderService, fence: Revision, log: Lines) -> None:
    while True:
        try:
            await service(fence)
        except StoreFault as error:
            log.warning("leader_service_failed", reason=str(error))
        await anyio.sleep(RETRY_S)
