"""Nodes that a Forge makes when its cluster asks for them, as a cloud would make machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import anyio
from anyio.abc import TaskGroup

from controllers.nodes.port import NodeRole, ProvidedNode, ProviderFault
from runtime.errors import RuntimeFault
from runtime.names import is_name


class ProvidedNodes:
    """Implements NodeProvider inside a Forge: at most one node of each name, however often it is asked for."""

    def __init__(
        self,
        *,
        tasks: TaskGroup,
        most: int,
        founders: Collection[str],
        make: Callable[[str, NodeRole], Awaitable[None]],
        drop: Callable[[str], Awaitable[None]],
        runs: Callable[[str], bool],
    ) -> None:
        """founders: nodes that the Forge began with, which nobody provides. make: lets it join, or starts one that
        has joined, and returns when it answers. drop: ends it and forgets it, also one that does not exist."""
        self._tasks = tasks
        self._most = most
        self._founders = founders
        self._make = make
        self._drop = drop
        self._runs = runs
        self._making: dict[str, anyio.CancelScope] = {}
        self._made: dict[str, str] = {}
        """By name: why it could not be made; empty when it was."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that were asked for and not released."""
        return tuple(self._made.keys() | self._making.keys())

    def adopt(self, node: str) -> None:
        """One that an earlier Forge made in the same directory."""
        self._made[node] = ""

    async def provide(self, node: str, role: NodeRole) -> ProvidedNode:
        """Says why the last try failed, and begins anew."""
        if node in self._making:
            return ProvidedNode(node=node, state="starting")
        why = self._made.get(node)
        if why == "" and self._runs(node):
            return ProvidedNode(node=node, state="running")
        self._check(node)
        scope = self._making[node] = anyio.CancelScope()
        self._tasks.start_soon(self._join, node, role, scope)
        return ProvidedNode(node=node, state="failed" if why else "starting", why=why or "")

    def _check(self, node: str) -> None:
        if not is_name(node) or node in self._founders:
            raise ProviderFault(f"a Forge cannot provide a node {node[:63]!r}")
        if node not in self._made and len(self.names) >= self._most:
            raise ProviderFault(f"this Forge provides at most {self._most} nodes")

    async def _join(self, node: str, role: NodeRole, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._make(node, role)
                self._made[node] = ""
        except RuntimeFault as fault:
            self._made[node] = str(fault)
        finally:
            if self._making.get(node) is scope:
                del self._making[node]

    async def release(self, node: str) -> None:
        if node in self._founders:
            raise ProviderFault(f"nobody provided {node}: a Forge began with it")
        scope = self._making.pop(node, None)
        if scope is not None:
            scope.cancel()
        await self._drop(node)
        self._made.pop(node, None)
