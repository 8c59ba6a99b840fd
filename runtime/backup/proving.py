"""The port by which a backup is proved: restored into a cluster of its own and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from runtime.backup.errors import BackupUnproven


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """`wanted` and `found`: hashes of what people made of the cluster, as backed up and as restored. `serving`: slices
    of which an instance came to serve."""

    wanted: str
    found: str
    serving: tuple[str, ...]
    silent: tuple[str, ...]
    took_ms: int

    @property
    def equal(self) -> bool:
        return self.wanted == self.found and not self.silent


class BackupProof(Protocol):
    async def prove(self, directory: Path) -> Proved:
        """Takes a minute and a node's memory. Raises RuntimeFault where it cannot be tried."""
        ...


class NoProof:
    """Implements BackupProof where none can be had."""

    async def prove(self, directory: Path) -> Proved:
        raise BackupUnproven(f"{directory} cannot be proved by this process")
