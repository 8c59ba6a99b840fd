"""Where the kernel finds what a run is pinned to, and what it waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from controllers.gate.proposals import read_proposal
from playbooks.library import library
from playbooks.records import uploaded
from runtime.deployment.records import Snapshot
from runtime.names import Sha256
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.workflow.errors import DefinitionNotFound

LOOK_S = 1.0


class PlaybookDefinitions:
    """Implements Definitions: of the package, or uploaded. A version that a run needs cannot be deleted."""

    def __init__(self, state: Snapshot) -> None:
        self._state = state

    async def read(self, sha256: Sha256) -> bytes:
        """Raises DefinitionNotFound."""
        texts = (each.text for each in library() if each.sha256 == sha256)
        sources = (each.source for each in uploaded(self._state) if each.sha256 == sha256)
        found = next(texts, None) or next(sources, None)
        if found is None:
            raise DefinitionNotFound(f"no playbook has the hash {sha256[:12]}… here")
        return found.encode()


class EndedProposals:
    """Implements SignalSource for "proposal": it comes once the proposal has ended, however."""

    def __init__(self, state: Snapshot, moved: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._moved = moved

    async def wait(self, rest: str) -> dict[str, Json]:
        while True:
            item = self._state.get(keys.proposal(rest))
            proposal = read_proposal(item.value) if item is not None else None
            if proposal is None or not proposal.waits:
                return {"proposal": rest, "state": proposal.state.value if proposal is not None else "gone"}
            with anyio.move_on_after(LOOK_S):
                await self._moved()
