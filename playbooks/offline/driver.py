"""Carries an offline playbook out, step by step, here and now: the same flow and actions, without store or leader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec

from playbooks.actions.action import ActionShelf
from playbooks.actions.assertion import Assert
from playbooks.actions.standing import KIND
from playbooks.actions.wait import Wait
from playbooks.document.reading import Source
from playbooks.expressions.picture import NoMeasures, Standing
from playbooks.kind import PlaybookKind
from playbooks.offline.journal import Journal, JournalLine
from playbooks.offline.node import LocalNode, local_actions
from playbooks.ports import PlaybookPorts
from runtime.backup.proving import NoProof
from runtime.clock import Clock
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Outcome, Refused, Submission
from runtime.operations.overlay import Overlay
from runtime.operations.plan import Json
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Ask, Did, Do, Fail, Finish, RunView, Sleep, StepContext, StepError, StepView

LOOK_S: Final = 0.5
End = Literal["succeeded", "failed", "compensated", "needs_human"]


class OfflineRun:
    """`told` hears of each step as it ends."""

    def __init__(
        self,
        *,
        source: Source,
        node: LocalNode,
        run: str,
        actor: Actor,
        params: dict[str, Json],
        journal: Journal,
        clock: Clock,
        told: Callable[[StepView], None],
    ) -> None:
        self._clock = clock
        self._node = node
        self._journal = journal
        self._told = told
        self._standing = Standing(leader="", quorum=False)
        ports = offline_ports(self._now_standing, clock)
        self._kind = PlaybookKind(ports, ActionShelf([Wait(), Assert(), *local_actions(node)]))
        self._flow = self._kind.load(source.text.encode())
        header = source.document.playbook
        now = clock.unix_ms()
        self._run = RunView(
            id=run,
            kind=KIND,
            definition=source.sha256,
            input={"playbook": header.id, "version": header.version, "params": params},
            actor=actor,
            trigger={"kind": "offline", "by": actor.id},
            state="running",
            depth=0,
            parent="",
            began_unix_ms=now,
            now_unix_ms=now,
        )
        self._contexts: dict[str, StepContext] = {}
        self._undoable: list[str] = []

    async def drive(self, limit_s: float) -> tuple[End, str]:
        """How it ended, and why. What is beyond the limit is undone."""
        self._note("began", detail={"input": self._run.input, "actor": self._run.actor.id})
        end: tuple[End, str] = ("compensated", f"it took more than {limit_s:g} s")
        with anyio.move_on_after(limit_s) as scope:
            end = await self._steps()
        if scope.cancelled_caught:
            await self._undo()
        self._note("ended", state=end[0], detail={"why": end[1]})
        return end

    async def _steps(self) -> tuple[End, str]:
        while True:
            await self._look()
            match self._flow.next(self._run):
                case Do() as do:
                    await self._do(do)
                case Sleep(until_unix_ms=until):
                    await anyio.sleep(max(0, until - self._clock.unix_ms()) / 1_000)
                case Finish():
                    return "succeeded", ""
                case Fail(undo=True) as fail:
                    return await self._undo(), f"{fail.code}: {fail.detail}"
                case Fail() as fail:
                    return "failed", f"{fail.code}: {fail.detail}"
                case Ask(detail=detail):
                    return "needs_human", detail
                case directive:
                    raise AssertionError(directive)

    async def _look(self) -> None:
        """Whether there is a quorum, as expressions see it."""
        members = await self._node.members()
        leader = next((each.leader for each in members if each.has_quorum), "")
        self._standing = Standing(leader=leader, quorum=any(each.has_quorum for each in members))
        self._run = msgspec.structs.replace(self._run, now_unix_ms=self._clock.unix_ms())

    def _now_standing(self) -> Standing:
        return self._standing

    async def _do(self, do: Do) -> None:
        """The intent is on the disk before the step, its outcome after it."""
        now = self._clock.unix_ms()
        view = StepView(step=do.step, action=do.action, state="begun", attempt=1, began_unix_ms=now, ended_unix_ms=0)
        self._note("intent", step=do.step, detail=do.input)
        self._contexts[do.step] = StepContext(
            run=self._run, step=do.step, attempt=1, key=f"{self._run.id}/{do.step}", input=do.input, began_unix_ms=now
        )
        if do.undo:
            self._undoable.append(do.step)
        ended = await self._attempted(do, view)
        self._run = msgspec.structs.replace(self._run, steps=(*self._run.steps, ended))
        error = {"error": f"{ended.error.code}: {ended.error.detail}"} if ended.error is not None else {}
        self._note("outcome", step=do.step, state=ended.state, detail={**ended.result, **error})
        self._told(ended)

    async def _attempted(self, do: Do, view: StepView) -> StepView:
        for attempt in range(1, do.retry.attempts + 1):
            error = StepError(code="timeout", detail=f"it took more than {do.timeout_s:g} s")
            try:
                with anyio.move_on_after(do.timeout_s):
                    outcome = await self._watched(do)
                    assert isinstance(outcome, Did), "nothing offline waits for people"
                    return self._ended(view, state="done", attempt=attempt, result=outcome.result)
            except StepFailed as failed:
                error = StepError(code=failed.reason, detail=failed.detail, retryable=failed.again)
            except RuntimeFault as fault:
                error = StepError(code=fault.code, detail=str(fault), retryable=fault.retryable)
            if not error.retryable:
                break
            await anyio.sleep(min(do.retry.most_s, do.retry.first_s * 2 ** (attempt - 1)))
        return self._ended(view, state="failed", attempt=attempt, error=error)

    async def _watched(self, do: Do) -> object:
        """While a verification looks again and again, so does this at who answers."""
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                while True:
                    await anyio.sleep(LOOK_S)
                    await self._look()

            tasks.start_soon(follow)
            try:
                outcome: object = await self._kind.action(do.action).run(self._contexts[do.step])
            except RuntimeFault as fault:  # a task group would wrap it
                outcome = fault
            tasks.cancel_scope.cancel()
        if isinstance(outcome, RuntimeFault):
            raise outcome
        return outcome

    async def _undo(self) -> End:
        with anyio.CancelScope(shield=True):
            for name in reversed(self._undoable):
                view = self._run.step(name)
                if view is None or view.state != "done":
                    continue
                self._note("intent", step=f"{name}/undo")
                try:
                    await self._kind.action(view.action).undo(self._contexts[name], view.result)
                except RuntimeFault as fault:
                    self._note("outcome", step=f"{name}/undo", state="failed", detail={"error": str(fault)})
                    return "needs_human"
                self._note("outcome", step=f"{name}/undo", state="done")
        return "compensated"

    def _ended(self, view: StepView, **members: object) -> StepView:
        return msgspec.structs.replace(view, ended_unix_ms=self._clock.unix_ms(), **members)

    def _note(
        self,
        kind: Literal["began", "intent", "outcome", "ended"],
        *,
        step: str = "",
        state: str = "",
        detail: dict[str, Json] | None = None,
    ) -> None:
        self._journal.write(
            JournalLine(
                kind=kind,
                at_unix_ms=self._clock.unix_ms(),
                run=self._run.id,
                step=step,
                state=state,
                detail=detail or {},
            )
        )


class _NoGate:
    """Nothing of the cluster is changed without it."""

    async def submit(self, submission: Submission) -> Outcome:
        return Refused(code="no_quorum", detail=f"{submission.operation} needs a quorum")

    async def answered(self, _submission: Submission) -> None:
        return None

    async def withdraw(self, _proposal: str, _actor: Actor, _reason: str) -> None:
        return


class _NoAnswers:
    async def ask(self, operation: str, _request: object, _actor: Actor) -> dict[str, Json]:
        raise StepFailed("no_quorum", f"{operation} needs a cluster")


class _NoLog:
    """The journal tells it all."""

    def info(self, event: str, **fields: object) -> None:
        return

    def warning(self, event: str, **fields: object) -> None:
        return


def offline_ports(standing: Callable[[], Standing], clock: Clock) -> PlaybookPorts:
    async def moved() -> None:
        await anyio.sleep(LOOK_S)

    moves: Callable[[], Awaitable[None]] = moved
    return PlaybookPorts(
        dispatcher=_NoGate(),
        recalls=_NoGate(),
        asks=_NoAnswers(),
        catalogue=Catalogue(),
        state=Overlay(),
        moved=moves,
        measures=NoMeasures(),
        standing=standing,
        content=None,  # type: ignore[arg-type]  # nothing that is done offline keeps content
        clock=clock,
        new_id=lambda: "",
        log=_NoLog(),
        backups=Path(),  # nor writes or proves a backup
        proof=NoProof(),
    )
