"""The workflow engine, wired for the control process: it carries runs out while this node leads."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

import anyio

from agent_api.assemble.gate import GateParts
from agent_api.assemble.playbooks import PlaybookParts
from controllers.journal.runs import RunTrail
from runtime.cluster.leader_services import LeaderService
from runtime.content.errors import ContentNotFound
from runtime.content.port import ContentStore
from runtime.names import Sha256
from runtime.operations.identity import new_id
from runtime.workflow.engine import WorkflowEngine
from runtime.workflow.errors import DefinitionNotFound
from runtime.workflow.ports import WorkflowPorts


class WorkflowParts:
    """`services` run while this node leads."""

    def __init__(self, *, gate: GateParts, content: ContentStore, playbooks: PlaybookParts) -> None:
        store, clock, log = gate.desk.store, gate.desk.clock, gate.desk.log
        self.engine = WorkflowEngine(
            WorkflowPorts(
                store=store,
                kinds={playbooks.kind.name: playbooks.kind},
                definitions=playbooks.definitions,
                results=ResultContent(content),
                sources={"proposal": playbooks.proposals},
                trail=RunTrail(clock=clock, new_id=functools.partial(new_id, clock)),
                clock=clock,
                log=log,
            )
        )
        self.services: tuple[LeaderService, ...] = (self.engine.run,)


class ResultContent:
    """Long results of runs, as content. Implements Results."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content

    async def read(self, sha256: Sha256) -> bytes:
        """Raises DefinitionNotFound."""
        try:
            return await anyio.Path(await self._content.get(sha256)).read_bytes()
        except ContentNotFound as error:
            raise DefinitionNotFound(str(error)) from error

    async def keep(self, run: str, raw: bytes) -> Sha256:
        async def chunks() -> AsyncIterator[bytes]:
            yield raw

        sha256 = await self._content.put(chunks())
        await self._content.pin(sha256, _owner(run))
        return sha256

    async def drop(self, run: str, sha256: Sha256) -> None:
        await self._content.unpin(sha256, _owner(run))


def _owner(run: str) -> str:
    return f"run/{run}"
