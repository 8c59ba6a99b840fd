"""Which nodes should keep which bytes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from runtime.names import NodeId, Sha256

COPIES: Final = 3


def keepers(sha256: Sha256, live: Collection[NodeId], *, copies: int = COPIES) -> tuple[NodeId, ...]:
    """The nodes that should keep a copy, by rendezvous hashing: a node that joins or leaves moves only its share."""
    return tuple(sorted(live, key=lambda node: _score(sha256, node), reverse=True)[:copies])


def wanted_copies(
    node: NodeId, live: Collection[NodeId], holders: dict[Sha256, set[NodeId]], *, copies: int = COPIES
) -> tuple[Sha256, ...]:
    """What `node` should fetch: it is the next in line for bytes of which too few live copies exist.

    holders: for everything that must be kept, the nodes that have it. Bytes that nobody alive has cannot be fetched
    and are left out.
    """
    wanted: list[Sha256] = []
    for sha256, having in holders.items():
        alive = having & set(live)
        missing = min(copies, len(live)) - len(alive)
        if not alive or missing <= 0 or node in alive:
            continue
        in_line = [other for other in keepers(sha256, live, copies=len(live)) if other not in alive]
        if node in in_line[:missing]:
            wanted.append(sha256)
    return tuple(wanted)


def _score(sha256: Sha256, node: NodeId) -> bytes:
    return hashlib.blake2b(f"{sha256}/{node}".encode(), digest_size=8).digest()
