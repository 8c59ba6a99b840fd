"""The proxy in the path between nodes: cuts and heals links, one pair of nodes at a time.

A cut link keeps its connections and holds back their bytes, as a network that drops packets does; when it is healed
they flow again. Who connects is read from the kernel's tables, since TLS hides it from the proxy.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from evals.forge.processes import family

PIECE_BYTES: Final = 64 * 1024
BACKLOG: Final = 256
PURPOSES: Final = ("peer", "control", "store")


class Network:
    """Which pairs of nodes are cut, and the listeners that carry everybody's traffic."""

    def __init__(self, supervisors: Callable[[], dict[str, int]]) -> None:
        self._supervisors = supervisors
        self._cut: set[frozenset[str]] = set()
        self._changed = asyncio.Event()

    async def listen(self, tasks: TaskGroup, node: str, target_port: int, *, port: int = 0) -> int:
        """The port that carries to `target_port` of that node; a free one when 0 is asked for."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port, backlog=BACKLOG)
        chosen: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  no database here

        async def carry(stream: SocketStream) -> None:
            await self._carry(stream, node, target_port)

        async def serve() -> None:
            async with listener:
                await listener.serve(carry)

        tasks.start_soon(serve)
        return chosen

    def cut(self, one: Iterable[str], other: Iterable[str]) -> None:
        """No byte passes between any of the one and any of the other side."""
        sides = [frozenset((left, right)) for left in one for right in other if left != right]
        self._cut.update(sides)
        self._wake()

    def heal(self) -> None:
        self._cut.clear()
        self._wake()

    @property
    def cuts(self) -> tuple[tuple[str, ...], ...]:
        return tuple(sorted(tuple(sorted(pair)) for pair in self._cut))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _open(self, pair: frozenset[str]) -> None:
        while pair in self._cut:
            await self._changed.wait()

    async def _carry(self, stream: SocketStream, node: str, target_port: int) -> None:
        async with stream:
            port: int = stream.extra(SocketAttribute.remote_port)  # noqa: S610  no database here
            source = node_behind(port, self._supervisors())
            pair = frozenset((source, node))
            await self._open(pair)
            try:
                target = await anyio.connect_tcp("127.0.0.1", target_port)
            except OSError:
                return
            async with target, anyio.create_task_group() as tasks:
                tasks.start_soon(self._pump, stream, target, pair, tasks)
                tasks.start_soon(self._pump, target, stream, pair, tasks)

    async def _pump(self, source: SocketStream, target: SocketStream, pair: frozenset[str], tasks: TaskGroup) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                piece = await source.receive(PIECE_BYTES)
                if pair in self._cut:
                    await self._open(pair)
                await target.send(piece)
        tasks.cancel_scope.cancel()


def node_behind(port: int, supervisors: dict[str, int]) -> str:
    """The node whose process connected from that local port; empty when none does (any more)."""
    inode = _inode_of(port)
    if not inode:
        return ""
    wanted = f"socket:[{inode}]"
    for node, supervisor in supervisors.items():
        for pid in family(supervisor) if supervisor else ():
            if wanted in _sockets_of(pid):
                return node
    return ""


def _inode_of(port: int) -> str:
    local = f"{socket.htonl(0x7F000001):08X}:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[9] != "0":
            return fields[9]
    return ""


def _sockets_of(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
    return found
