"""The node level, live: each second the leader judges the nodes, and what must change goes through the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import msgspec

from controllers.nodes.config import NodeConfig, config_of
from controllers.nodes.decide import decide_nodes
from controllers.nodes.journal import NodeJournal
from controllers.nodes.making import NodeMaking
from controllers.nodes.model import NodeBecause, NodeDecision, NodesSeen
from controllers.nodes.observing import ACTOR, observe
from controllers.nodes.operations import PROVISION, RETIRE
from controllers.nodes.records import NodeDecisionRecord, outcome_of
from controllers.scaling.loop import SUBMIT_S
from controllers.scaling.records import GateAnswer, gate_answer
from controllers.scaling.standing import Standing, State
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.deployment.records import Records
from runtime.errors import RuntimeFault
from runtime.operations.dispatch import Dispatcher, Submission
from runtime.operations.plan import Json

LOOK_S: Final = 1.0
REFUSED_S: Final = 60.0  # before what the gate refused is tried again
NOBODY: Final = "there is no room for {missing} instances, and nobody provides nodes"


class Slices(Protocol):
    """What the scaling of slices knows."""

    def standings(self) -> Mapping[str, Standing]: ...

    def without_room(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was read of the state, when, and at which change of it and of what found no room."""

    at: tuple[int, int]
    read_s: float
    seen: NodesSeen


class NodeLoop:
    """`run` is a leader service."""

    def __init__(
        self,
        *,
        state: State,
        records: Records,
        slices: Slices,
        dispatcher: Dispatcher,
        journal: NodeJournal,
        making: NodeMaking,
        clock: Clock,
        new_id: Callable[[], str],
        log: Lines,
    ) -> None:
        self._state = state
        self._records = records
        self._slices = slices
        self._dispatcher = dispatcher
        self._journal = journal
        self._making = making
        self._clock = clock
        self._new_id = new_id
        self._log = log
        self._seen: _Look | None = None
        self._last: NodeDecision | None = None
        self._told: tuple[NodeBecause, ...] = ()
        self._wait_until_s = 0.0

    async def run(self, fence: int) -> None:
        self._last, self._told, self._wait_until_s = None, (), 0.0
        await self._journal.open()
        while True:
            await self.tick(fence)
            await anyio.sleep(LOOK_S)

    async def tick(self, fence: int) -> None:
        """Judges once, acts, and keeps what was asked for true. Raises RuntimeFault."""
        config, now_s = config_of(self._state), self._clock.monotonic_s()
        seen = self._look(config)
        decision = self._last = decide_nodes(config, seen, now_s)
        if decision.is_change and now_s >= self._wait_until_s:
            await self._act(config, seen, decision, fence)
        elif decision.is_near_miss and decision.because != self._told:
            self._told = decision.because
            await self._write(self._new_id(), config, seen, decision, GateAnswer(), fence)
        for due in self._journal.due(self._clock.unix_ms()):
            await self._journal.add_outcome(due, outcome_of(seen, due.after_min), fence)
        nobody = seen.missing and NodeBecause.NO_PROVIDER in decision.because
        trouble = NOBODY.format(missing=seen.missing) if nobody else ""
        kept = await self._making.keep(fence)
        await self._journal.tell("; ".join(each for each in (trouble, kept) if each), fence)

    def _look(self, config: NodeConfig) -> NodesSeen:
        """The state is read anew when it has changed; ages are always as of now."""
        at, now_s = (int(self._state.changed_at), self._slices.without_room()), self._clock.monotonic_s()
        if self._seen is None or self._seen.at != at:
            seen = observe(
                self._state,
                self._records,
                self._slices.standings(),
                config,
                without_room=at[1],
                now_unix_ms=self._clock.unix_ms(),
            )
            self._seen = _Look(at=at, read_s=now_s, seen=seen)
        seen, passed_s = self._seen.seen, now_s - self._seen.read_s
        return msgspec.structs.replace(
            seen,
            since_change_s=_older(seen.since_change_s, passed_s),
            since_refused_s=_older(seen.since_refused_s, passed_s),
            short_since_s=self._last.short_since_s if self._last is not None else None,
            roomy_since_s=self._last.roomy_since_s if self._last is not None else None,
        )

    async def _act(self, config: NodeConfig, seen: NodesSeen, decision: NodeDecision, fence: int) -> None:
        identity, now_s = self._new_id(), self._clock.monotonic_s()
        gate = await self._submit(config, decision, identity)
        self._told = ()
        if gate.outcome not in ("applied", "proposed"):
            self._wait_until_s = now_s + REFUSED_S
        await self._write(identity, config, seen, decision, gate, fence)

    async def _submit(self, config: NodeConfig, decision: NodeDecision, identity: str) -> GateAnswer:
        """Unless nodes may come and go by themselves, people decide."""
        request: dict[str, Json] = {"nodes": decision.add} if decision.add else {"node": decision.remove}
        submission = Submission(
            operation=PROVISION if decision.add else RETIRE,
            request=request,
            actor=ACTOR,
            reason=f"decision {identity}: {', '.join(decision.because)}",
            evidence=(f"decision:{identity}",),
            propose=not config.act,
        )
        try:
            with anyio.fail_after(SUBMIT_S):
                return gate_answer(await self._dispatcher.submit(submission))
        except (RuntimeFault, TimeoutError) as error:
            return GateAnswer(outcome="failed", rule=str(error) or "no answer in time")

    async def _write(
        self,
        identity: str,
        config: NodeConfig,
        seen: NodesSeen,
        decision: NodeDecision,
        gate: GateAnswer,
        fence: int,
    ) -> None:
        record = NodeDecisionRecord(
            id=identity,
            at_unix_ms=self._clock.unix_ms(),
            kind="change" if decision.is_change else "near_miss",
            now_s=self._clock.monotonic_s(),
            config=config,
            seen=seen,
            decision=decision,
            gate=gate,
        )
        self._log.info(
            "nodes_decided",
            decision=identity,
            kind=record.kind,
            add=decision.add,
            remove=decision.remove,
            because=list(decision.because),
            gate=gate.outcome,
        )
        await self._journal.write(record, fence)


def _older(age_s: float | None, passed_s: float) -> float | None:
    return age_s + passed_s if age_s is not None else None
