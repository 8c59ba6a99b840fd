"""What playbooks need of the process that runs them: handed in by assemble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from playbooks.expressions.picture import Measures, Picture, Standing
from runtime.backup.proving import BackupProof
from runtime.clock import Clock
from runtime.content.port import ContentStore
from runtime.deployment.records import Snapshot
from runtime.operations.actor import Actor
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Applied, Dispatcher, Proposed, Submission
from runtime.operations.plan import Json

if TYPE_CHECKING:
    from runtime.cluster.membership import Lines


class Asks(Protocol):
    """Questions of the catalogue."""

    async def ask(self, operation: str, request: Mapping[str, Json], actor: Actor) -> dict[str, Json]:
        """The answer as plain data. Raises RuntimeFault."""
        ...


class Recalls(Protocol):
    """What the gate said before, and taking back what waits."""

    async def answered(self, submission: Submission) -> Applied | Proposed | None:
        """What was answered to that submission's key. Raises StoreFault."""
        ...

    async def withdraw(self, proposal: str, actor: Actor, reason: str) -> None:
        """One that has ended stays as it is. Raises StoreFault."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookPorts:
    """moved: returns once the state has changed. new_id: as proposals have them. backups: where they are written."""

    dispatcher: Dispatcher
    recalls: Recalls
    asks: Asks
    catalogue: Catalogue
    state: Snapshot
    moved: Callable[[], Awaitable[None]]
    measures: Measures
    standing: Callable[[], Standing]
    content: ContentStore
    clock: Clock
    new_id: Callable[[], str]
    log: Lines
    backups: Path
    proof: BackupProof

    def picture(self) -> Picture:
        """The present one."""
        return Picture(self.state, self.measures.measured(), self.standing())
