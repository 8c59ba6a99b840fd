"""Which nodes keep a key: rendezvous hashing, a pure function of key and nodes.

Every node gets a score for the key, and the highest two keep it. A node that leaves takes only its own keys with it;
one that joins takes 1/n of the keys, and no other key moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

COPIES: Final = 2  # the owner and one backup


def ranked(key: str, nodes: Sequence[str]) -> tuple[str, ...]:
    """All nodes, the owner first, its backup second. The order of `nodes` does not matter."""
    seed = key.encode()
    return tuple(sorted(nodes, key=lambda node: (_score(seed, node), node), reverse=True))


def keepers(key: str, nodes: Sequence[str]) -> tuple[str, ...]:
    """The owner and the backup; fewer where there are fewer nodes."""
    return ranked(key, nodes)[:COPIES]


def _score(seed: bytes, node: str) -> bytes:
    return blake2b(seed, digest_size=8, key=node.encode()[:64]).digest()
