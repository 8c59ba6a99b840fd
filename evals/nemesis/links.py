"""The proxy in the path of every link between stores: cut both ways or one way, slowed, healed.

TLS passes through it unharmed. A cut way holds back its bytes, and the news that a connection ended, as a network does
that drops packets; healed, they arrive late. Who connects is read from the kernel's tables, since TLS hides it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from evals.forge.partition import node_behind

PIECE_BYTES: Final = 64 * 1024
PIECES_MAX: Final = 256  # on their way in one direction of one connection: 16 MiB
BACKLOG: Final = 256
CLIENTS: Final = "clients"
"""Who connects from this process itself."""

Way = tuple[str, str]
"""(from, to)."""
_Piece = tuple[float, bytes]
"""(when it is due, what it is)."""


class Links:
    """`pids` gives the process of every store that runs."""

    def __init__(self, pids: Callable[[], dict[str, int]], rng: random.Random) -> None:
        self._pids = pids
        self._rng = rng
        self._cut: set[Way] = set()
        self._delays_s: dict[Way, tuple[float, float]] = {}
        self._changed = asyncio.Event()

    async def listen(self, tasks: TaskGroup, node: str, target_port: int) -> int:
        """The port that carries to `target_port` of that node."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0, backlog=BACKLOG)
        port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  no database here

        async def carry(stream: SocketStream) -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await self._carry(stream, node, target_port)

        async def serve() -> None:
            async with listener:
                await listener.serve(carry)

        tasks.start_soon(serve)
        return port

    # -- faults --------------------------------------------------------------------------------------------------------

    def cut(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Nothing passes from any of the sources to any of the targets; the other way stays as it is."""
        targets = tuple(targets)
        self._cut.update((source, target) for source in sources for target in targets if source != target)
        self._wake()

    def cut_both(self, one: Iterable[str], other: Iterable[str]) -> None:
        one, other = tuple(one), tuple(other)
        self.cut(one, other)
        self.cut(other, one)

    def slow(self, one: Iterable[str], other: Iterable[str], *, delay_s: tuple[float, float]) -> None:
        """Each piece takes between the two, in both directions, and none overtakes another."""
        other = tuple(other)
        pairs = [(left, right) for left in one for right in other if left != right]
        self._delays_s.update({way: delay_s for pair in pairs for way in (pair, pair[::-1])})

    def heal(self) -> None:
        self._cut.clear()
        self._delays_s.clear()
        self._wake()

    # -- carrying ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _whole(self, way: Way) -> None:
        while way in self._cut:
            await self._changed.wait()

    async def _carry(self, stream: SocketStream, node: str, target_port: int) -> None:
        async with stream:
            port: int = stream.extra(SocketAttribute.remote_port)  # noqa: S610  no database here
            source = node_behind(port, {**self._pids(), CLIENTS: os.getpid()})  # last: the stores are its children
            if not source:  # it ended already, or is a stranger: it must not get around the cuts
                return
            await self._whole((source, node))
            await self._whole((node, source))
            async with await anyio.connect_tcp("127.0.0.1", target_port) as target, anyio.create_task_group() as tasks:
                await self._direction(tasks, stream, target, (source, node))
                await self._direction(tasks, target, stream, (node, source))

    async def _direction(self, tasks: TaskGroup, source: SocketStream, target: SocketStream, way: Way) -> None:
        into, out = anyio.create_memory_object_stream[_Piece](PIECES_MAX)
        tasks.start_soon(self._take, source, into, way)
        tasks.start_soon(self._give, out, target, way, tasks)

    async def _take(self, source: SocketStream, into: MemoryObjectSendStream[_Piece], way: Way) -> None:
        due_s = 0.0
        async with into:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                while True:
                    piece = await source.receive(PIECE_BYTES)
                    due_s = max(due_s, anyio.current_time() + self._rng.uniform(*self._delays_s.get(way, (0.0, 0.0))))
                    await into.send((due_s, piece))

    async def _give(
        self, out: MemoryObjectReceiveStream[_Piece], target: SocketStream, way: Way, tasks: TaskGroup
    ) -> None:
        async with out:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async for due_s, piece in out:
                    if due_s > anyio.current_time():
                        await anyio.sleep_until(due_s)
                    await self._whole(way)
                    await target.send(piece)
        await self._whole(way)  # that the connection ended is news, too
        tasks.cancel_scope.cancel()
