"""A leader whose control hangs, while its store leads on: another core node has the lead handed over, so that alerts,
placement and runs go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import InvalidRequest, StoreFault
from runtime.names import NodeId

LOOK_S: Final = 1.0
HUNG_S: Final = 10.0
"""Behind the 3 s of the node's lease: a control that died and is started again is back by then."""


class HungLeader:
    """`run` runs on every core node; of those that live the first by name acts."""

    def __init__(
        self,
        *,
        node: NodeId,
        leader: Callable[[], str],
        live_cores: Callable[[], Sequence[NodeId]],
        transfer: Callable[[str], Awaitable[str]],
        clock: Clock,
        log: Lines,
    ) -> None:
        """leader: empty while nobody leads, or this node does not know. live_cores: whose control keeps its lease.
        transfer: to that node, or to any where it is empty; raises StoreFault."""
        self._node = node
        self._leader = leader
        self._live_cores = live_cores
        self._transfer = transfer
        self._clock = clock
        self._log = log
        self._gone: tuple[str, float] | None = None
        """The leader whose lease has ended, and since when this node sees that."""

    async def run(self) -> None:
        while True:
            await self.look()
            await anyio.sleep(LOOK_S)

    async def look(self) -> None:
        leader, live, now_s = self._leader(), self._live_cores(), self._clock.monotonic_s()
        if not leader or leader in live or not live:
            self._gone = None
            return
        if self._gone is None or self._gone[0] != leader:
            self._gone = (leader, now_s)
        if now_s - self._gone[1] < HUNG_S or min(live) != self._node:
            return
        self._gone = None  # another attempt has its time too
        try:
            to = await self._handed_over()
        except StoreFault as error:
            self._log.warning("lead_not_taken", leader=leader, reason=str(error))
        else:
            self._log.warning("lead_taken", leader=leader, to=to)

    async def _handed_over(self) -> str:
        """To this node, or to any other that can lead where this one has no vote."""
        try:
            return await self._transfer(self._node)
        except InvalidRequest:
            return await self._transfer("")
