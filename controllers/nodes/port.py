"""Who makes nodes: the port, and what it can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from controllers.scaling.errors import ScalingFault


class ProviderFault(ScalingFault):
    """The provider cannot be reached, or cannot do it now."""

    code, retryable = "node_provider_failed", True
    remedy = "See that the provider runs where `aether controller nodes` says, and what it says itself."


NodeRole = Literal["worker", "core"]
"""A core node also has a store, and a vote once it has caught up."""


class ProvidedNode(msgspec.Struct, frozen=True, kw_only=True):
    """starting: its machine comes. running: it has joined, or is about to. failed: `why` says how."""

    node: str
    state: Literal["starting", "running", "failed"]
    why: str = ""


class NodeProvider(Protocol):
    """Makes nodes that join the cluster by themselves, and takes them back. Both raise ProviderFault and may be asked
    again whatever became of the time before, by this leader or by the next: a node's name is asked for once in the
    cluster's life, so a provider keeps at most one machine for each name."""

    async def provide(self, node: str, role: NodeRole) -> ProvidedNode:
        """A node of that name and role. Returns at once; begins anew what has failed."""
        ...

    async def release(self, node: str) -> None:
        """Ends what is left of it. A name that is not known is released already."""
        ...


ProviderAt = Callable[[str], NodeProvider]
"""The provider at an address of the configuration."""
