"""One node's process, as far as it matters here: gate, applier, audit and engine, for as long as it leads and lives."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import anyio

from controllers.gate.answers import AnswerBook
from controllers.gate.applying import Applier
from controllers.gate.chaining import AuditChain
from controllers.gate.desk import GateDesk
from controllers.gate.gate import Gate
from controllers.gate.proposals import read_proposal
from controllers.gate.voting import Votes
from controllers.journal.runs import RunTrail
from evals.workflow.counting import COUNTERS, OPERATIONS
from evals.workflow.three_steps import Bank, OneDefinition, ThreeStepsKind
from playbooks.definitions import EndedProposals
from runtime.clock import Clock
from runtime.cluster.leader_services import run_leader_services
from runtime.cluster.membership import Lines
from runtime.consensus.cache import StoreCache
from runtime.consensus.store import Leadership, Revision, Store
from runtime.names import NodeId
from runtime.operations.actor import Actor
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Applied, Outcome, Proposed, Submission
from runtime.operations.plan import Refusal
from runtime.state import keys
from runtime.workflow.engine import WorkflowEngine
from runtime.workflow.operations import OPERATIONS as RUN_OPERATIONS
from runtime.workflow.ports import WorkflowPorts

PREFIXES: Final = (
    *(keys.POLICY, keys.PROPOSALS, keys.PROPOSALS_LIVE, keys.PROPOSALS_OPEN, keys.PROPOSALS_WHOLE, keys.UNDO),
    *(keys.RECENT, keys.FREEZES, keys.INCIDENTS, keys.MARKS_TURN, keys.AGENT_TURNS, keys.GUARDS, keys.PRINCIPALS),
    *(keys.PRINCIPALS_TURN, keys.NODES, keys.NODES_LIVE, keys.BLUEPRINTS, keys.TARGETS),
    *(keys.RUNS, keys.RUN_ORDERS, keys.RUN_SIGNALS, keys.RUN_LOCKS, COUNTERS),
)


class LeaderProcess:
    """`kept` is content, which outlives processes."""

    def __init__(
        self,
        node: str,
        store: Store,
        outside: Bank,
        *,
        kept: dict[str, bytes],
        clock: Clock,
        log: Lines,
        pause: Callable[[], Awaitable[None]],
        nonce: int,
    ) -> None:
        self.node = node
        self.store = store
        self._kept = kept
        self._log = log
        self._leadership = Leadership(leader="", fence=Revision(0))
        self._scope = anyio.CancelScope()
        numbers = count(1)

        def new_id() -> str:
            return f"{clock.unix_ms():014}{nonce:06}{next(numbers):06}"

        self.cache = StoreCache(store, PREFIXES)
        self.desk = GateDesk(
            store=store,
            state=self.cache,
            catalogue=Catalogue(OPERATIONS, RUN_OPERATIONS),
            clock=clock,
            new_id=new_id,
            fence=lambda: self._leadership.fence if self._leadership.leader == node else None,
            log=log,
        )
        self._answers = AnswerBook(store, clock)
        self.gate = Gate(self.desk, self._answers)
        self.votes = Votes(self.desk)
        kind = ThreeStepsKind(self, outside, pause)
        self._engine = WorkflowEngine(
            WorkflowPorts(
                store=store,
                kinds={kind.name: kind},
                definitions=OneDefinition(),
                results=OneDefinition(),
                sources={"proposal": EndedProposals(self.cache, self._moved)},
                trail=RunTrail(clock=clock, new_id=new_id),
                clock=clock,
                log=log,
            )
        )

    async def live(self) -> None:
        """Until `kill`."""
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.cache.run)
                await self.cache.ready()
                await run_leader_services(
                    store=self.store,
                    node=NodeId(self.node),
                    services=(
                        Applier(self.desk).run,
                        AuditChain(self.store, self._keep, self._log).run,
                        self._engine.run,
                    ),
                    log=self._log,
                    noted=self._noted,
                )

    @property
    def leads(self) -> bool:
        return self._leadership.leader == self.node

    def kill(self) -> None:
        self._scope.cancel()

    def _noted(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def _keep(self, raw: bytes) -> str:
        name = hashlib.sha256(raw).hexdigest()
        self._kept[name] = raw
        return name

    async def _moved(self) -> None:
        await self.cache.wait_for(Revision(self.cache.revision + 1))

    # -- the door that actions use -------------------------------------------------------------------------------------

    async def submit(self, submission: Submission) -> Outcome:
        return await self.gate.submit(submission)

    async def answered(self, submission: Submission) -> Applied | Proposed | None:
        found = await self._answers.find(submission)
        assert not isinstance(found, Refusal), found
        return found

    async def ended(self, proposal: str) -> str:
        await self.cache.confirmed()
        item = self.cache.get(keys.proposal(proposal))
        found = read_proposal(item.value) if item is not None else None
        return "" if found is not None and found.waits else str(found.state) if found is not None else "gone"

    async def withdraw(self, proposal: str, actor: Actor) -> None:
        await self.votes.withdraw(proposal, actor, reason="the run goes back")
