"""Answers about runs and locks: from this node's cache, and the steps of one run from the store."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agent_api.control_api.ports import ApiParts
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.operation import Effect
from runtime.operations.queries.page import page_of
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow.limits import STEPS_MAX
from runtime.workflow.locks import wishes
from runtime.workflow.queries import (
    LockListRequest,
    LockOwner,
    LockPage,
    LockRow,
    RunListRequest,
    RunPage,
    RunRow,
    RunShown,
    RunShowRequest,
    SignalRow,
    StepRow,
)
from runtime.workflow.reading import everything
from runtime.workflow.records import (
    LockHolder,
    LockRecord,
    LockWaiter,
    RunOrder,
    RunRecord,
    SignalRecord,
    StepDigest,
    StepRecord,
)


class RunNotFound(RuntimeFault):
    code = "run_not_found"
    remedy = "List them: aether run list."


class RunAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._state = parts.view.cache

    async def runs(self, request: RunListRequest, _actor: Actor) -> RunPage:
        found = [
            each for each in self._records() if request.state in (None, each.state) and request.kind in ("", each.kind)
        ]
        page, cursor = page_of(found, lambda each: (each.id,), request, newest_first=True)
        return RunPage(items=tuple([_row(each, await self._begun(each)) for each in page]), next=cursor)

    async def _begun(self, run: RunRecord) -> int:
        """How many steps. The run itself is not written with each: those that came since are asked of the store."""
        if run.ended:
            return run.steps
        prefix, last = keys.steps_of(run.id), keys.run_step(run.id, run.steps)
        newer = await self._parts.store.range(prefix, after=last, limit=STEPS_MAX, stale_ok=True)
        return run.steps + len(newer.items)

    async def run(self, request: RunShowRequest, _actor: Actor) -> RunShown:
        """Raises RunNotFound, StoreFault."""
        item = (await self._parts.store.get(keys.run(request.run))).item
        if item is None:
            raise RunNotFound(f"there is no run {request.run!r}")
        run = decode(item.value, RunRecord)
        steps = [
            decode(each.value, StepRecord)
            for each in (await everything(self._parts.store, keys.steps_of(run.id))).items
        ]
        signals = [decode(each.value, SignalRecord) for each in self._state.items(keys.signals_of(run.id))]
        order = self._state.get(keys.run_order(run.id))
        return RunShown(
            run=_row(run, max((each.number for each in steps), default=run.steps)),
            definition=run.definition,
            input=run.input,
            trigger=run.trigger,
            behind=tuple(each.id for each in run.actor.chain())[1:],
            epoch=run.epoch,
            locks=wishes(run.locks),
            fences=run.fences,
            steps=tuple(sorted([*map(_step, steps), *map(_digest, run.digests)], key=lambda each: each.number)),
            signals=tuple(
                SignalRow(name=each.name, at_unix_ms=each.at_unix_ms, by=each.by, data=each.data) for each in signals
            ),
            order=decode(order.value, RunOrder).order if order is not None else "",
            children=tuple(each.id for each in self._records() if each.parent == run.id),
            result=run.result,
            error=run.error,
            effects_left=run.undo_left,
        )

    async def locks(self, request: LockListRequest, _actor: Actor) -> LockPage:
        found = [
            each
            for item in self._state.items(keys.RUN_LOCKS)
            if _about(each := decode(item.value, LockRecord), request.run)
        ]
        page, cursor = page_of(found, lambda each: (each.name,), request)
        return LockPage(items=tuple(_lock(each) for each in page), next=cursor)

    def _records(self) -> Iterator[RunRecord]:
        """Those that a newer version wrote are left out."""
        for item in self._state.items(keys.RUNS):
            try:
                yield decode(item.value, RunRecord)
            except msgspec.DecodeError:
                continue


def _row(run: RunRecord, steps: int) -> RunRow:
    return RunRow(
        id=run.id,
        kind=run.kind,
        title=run.title,
        state=run.state,
        reason=run.reason,
        actor=run.actor.id,
        parent=run.parent,
        steps=steps,
        created_unix_ms=run.created_unix_ms,
        began_unix_ms=run.began_unix_ms,
        ended_unix_ms=run.ended_unix_ms,
        wake_unix_ms=run.wake_unix_ms,
        waits_for=run.waits_for,
        code=run.error.code if run.error is not None else "",
    )


def _step(step: StepRecord) -> StepRow:
    return StepRow(
        number=step.number,
        step=step.step,
        action=step.action,
        effect=str(step.effect),
        state=step.state,
        attempt=step.attempt,
        began_unix_ms=step.began_unix_ms,
        ended_unix_ms=step.ended_unix_ms,
        wake_unix_ms=step.undo_wake_unix_ms or (0 if step.ended_unix_ms else step.wake_unix_ms),
        waits_for=step.signal if step.state == "waiting" else "",
        input=step.input,
        result=step.result,
        result_sha256=step.result_sha256,
        error=step.error,
        unknown=step.unknown,
        resolved_by=step.resolved_by,
        undo=step.undo_state or ("owed" if step.undo and step.effect is not Effect.READ else "none"),
        undo_error=step.undo_error,
    )


def _digest(digest: StepDigest) -> StepRow:
    return StepRow(
        number=digest.number,
        step=digest.step,
        action=digest.action,
        effect="",
        state=digest.state,
        attempt=digest.attempt,
        began_unix_ms=digest.began_unix_ms,
        ended_unix_ms=digest.ended_unix_ms,
        wake_unix_ms=0,
        waits_for="",
        input={},
        result={},
        result_sha256="",
        error=None,
        unknown=False,
        resolved_by="",
        undo="none",
        undo_error=None,
    )


def _about(lock: LockRecord, run: str) -> bool:
    return not run or any(each.run == run for each in lock.holders) or any(each.run == run for each in lock.waiters)


def _lock(lock: LockRecord) -> LockRow:
    return LockRow(
        name=lock.name,
        holders=tuple(_owner(each, each.number) for each in lock.holders),
        waiters=tuple(_owner(each, 0) for each in lock.waiters),
    )


def _owner(each: LockHolder | LockWaiter, number: int) -> LockOwner:
    return LockOwner(run=each.run, mode=each.mode, since_unix_ms=each.since_unix_ms, number=number)
