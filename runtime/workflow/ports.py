"""What the engine is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Store
from runtime.names import Sha256
from runtime.workflow.flow import Definitions, FlowKind, SignalSource
from runtime.workflow.pen import Trail


class Results(Protocol):
    """Where results go that are too long for the store."""

    async def keep(self, run: str, raw: bytes) -> Sha256:
        """Raises RuntimeFault."""
        ...

    async def read(self, sha256: Sha256) -> bytes:
        """Raises DefinitionNotFound."""
        ...

    async def drop(self, run: str, sha256: Sha256) -> None:
        """The run is forgotten. Raises RuntimeFault."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPorts:
    """kinds: by name. sources: by the first segment of the signals that they tell."""

    store: Store
    kinds: Mapping[str, FlowKind]
    definitions: Definitions
    results: Results
    sources: Mapping[str, SignalSource]
    trail: Trail
    clock: Clock
    log: Lines
