"""What people may want done with runs, how runs are started, and what is told of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controllers.gate.making import MakingGate
from controllers.journal.runs import RunTrail
from runtime.consensus.store import KeyValue, Revision, WatchBatch, WatchEvent
from runtime.names import Sha256
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.operation import Effect
from runtime.operations.plan import KeyChange, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.facts import facts_of
from runtime.workflow.case import Note
from runtime.workflow.flow import StepError
from runtime.workflow.limits import DEPTH_MAX, INPUT_BYTES_MAX
from runtime.workflow.records import (
    LockHolder,
    LockRecord,
    LockWish,
    RunOrder,
    RunRecord,
    RunState,
    SignalRecord,
    StepRecord,
)
from runtime.workflow.starting import Started, start
from tests.unit.gate_parts import GateOnHand, person, records

pytestmark = pytest.mark.anyio
ANNA = person("anna")


def a_run(identity: str = "r1", **members: Any) -> RunRecord:
    run = RunRecord(id=identity, kind="list", definition=Sha256("d"), actor=ANNA, created_unix_ms=0)
    return msgspec.structs.replace(run, **members)


def a_step(name: str = "a", number: int = 1, **members: Any) -> StepRecord:
    step = StepRecord(number=number, step=name, action="x", effect=Effect.ONCE, timeout_s=1, began_unix_ms=0)
    return msgspec.structs.replace(step, **members)


async def hand_with(*runs: RunRecord) -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    for run in runs:
        await hand.put(keys.run(run.id), run)
    return hand


async def ask(hand: GateOnHand, operation: str, **request: Any) -> Outcome:
    gate = MakingGate(hand.link, hand.clock)
    return await gate.submit(Submission(operation=operation, request=request, actor=ANNA))


@pytest.mark.parametrize(
    ("operation", "fits"),
    [
        ("run.pause", {"running", "waiting"}),
        ("run.resume", {"paused", "needs_human"}),
        ("run.retry-step", {"paused", "needs_human"}),
        ("run.cancel", {"queued", "blocked", "running", "waiting", "paused", "needs_human"}),
    ],
)
async def test_an_order_is_left_where_it_fits_the_runs_state(operation: str, fits: set[str]) -> None:
    hand = await hand_with()
    request = {"step": "a"} if operation == "run.retry-step" else {}
    taken = set()
    for state in RunState:
        await hand.put(keys.run("r1"), a_run(state=state))
        outcome = await ask(hand, operation, run="r1", **request)
        if isinstance(outcome, Applied):
            taken.add(str(state))
        else:
            assert isinstance(outcome, Refused)
            assert (outcome.code, str(state) in outcome.detail) == ("run_state_unfit", True)
    assert taken == fits


async def test_an_order_says_who_gave_it_whatever_the_request_says() -> None:
    hand = await hand_with(a_run(state=RunState.RUNNING))
    await ask(hand, "run.cancel", run="r1", why="enough", leave=True, signed_by="somebody else")
    order = decode(hand.store.items["run-order/r1"].value, RunOrder)
    assert order == RunOrder(order="cancel", by="anna", reason="enough", undo=False)


async def test_only_of_a_step_that_is_in_doubt_can_be_said_what_becomes_of_it() -> None:
    """Otherwise the order is let go, and whoever gave it believes that the run goes on."""
    hand = await hand_with(a_run(state=RunState.NEEDS_HUMAN, unsettled=("provision", "forget/plan")))
    for step, told in (("forget", "did you mean forget/plan?"), ("drain", "drain is not in doubt")):
        outcome = await ask(hand, "run.retry-step", run="r1", step=step)
        assert isinstance(outcome, Refused)
        assert (outcome.code, told in outcome.detail) == ("run_step_unfit", True)
        assert outcome.remedy == "Of these it can be said: provision, forget/plan."
    for step in ("provision", "forget/plan"):
        assert isinstance(await ask(hand, "run.retry-step", run="r1", step=step), Applied)


async def test_an_unknown_run_is_refused_with_the_nearest() -> None:
    outcome = await ask(await hand_with(a_run("r100")), "run.cancel", run="r10")
    assert isinstance(outcome, Refused)
    assert (outcome.code, "did you mean r100?" in outcome.detail) == ("run_not_found", True)


async def test_people_tell_signals_but_not_the_clusters_own() -> None:
    hand = await hand_with(a_run(state=RunState.WAITING), a_run("r2", state=RunState.FAILED))
    assert isinstance(await ask(hand, "run.signal", run="r1", name="ready", payload={"x": 1}), Applied)
    signal = decode(hand.store.items["run-signal/r1/ready"].value, SignalRecord)
    assert (signal.by, signal.data, signal.at_unix_ms) == ("anna", {"x": 1}, hand.clock.unix_ms())
    for name, run, code in (
        ("proposal/p1", "r1", "signal_reserved"),
        ("run/r2", "r1", "signal_reserved"),
        ("ready", "r2", "run_state_unfit"),
    ):
        outcome = await ask(hand, "run.signal", run=run, name=name)
        assert isinstance(outcome, Refused)
        assert outcome.code == code


async def test_a_run_is_started_by_a_plan() -> None:
    hand = await hand_with()
    state = PlanState(hand.state)
    found = start(state, a_run())
    assert found == Started(
        run="r1", joined=False, changes=(KeyChange(key="run/r1", before=None, after=encode(a_run())),)
    )
    assert state.reads == {"run/r1": 0}


async def test_a_run_joins_one_of_the_same_input_that_has_not_ended() -> None:
    hand = await hand_with(a_run("r1", state=RunState.SUCCEEDED), a_run("r2", input={"n": 1}), a_run("r3"))
    joining = a_run("r9", on_conflict="join")
    state = PlanState(hand.state)
    assert start(state, joining) == Started(run="r3", joined=True, changes=())
    assert list(state.reads) == ["run/r3"], "that it goes on is compared"


async def test_a_run_that_may_not_wait_is_refused_while_its_locks_are_taken() -> None:
    hand = await hand_with(a_run("r1", state=RunState.RUNNING))
    holder = LockHolder(run="r1", mode="shared", number=1, since_unix_ms=0)
    await hand.put(keys.run_lock("x"), LockRecord(name="x", holders=(holder,)))
    wanted = a_run("r9", on_conflict="reject", locks=(LockWish(name="x"),))
    found = start(PlanState(hand.state), wanted)
    assert isinstance(found, Refusal)
    assert (found.code, found.retryable) == ("lock_conflict", True)
    shared = msgspec.structs.replace(wanted, locks=(LockWish(name="x", mode="shared"),))
    assert isinstance(start(PlanState(hand.state), shared), Started)


async def test_what_a_run_may_not_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.workflow.starting.OPEN_RUNS_MAX", 2)
    hand = await hand_with(a_run("r1", depth=DEPTH_MAX), a_run("r2", state=RunState.SUCCEEDED))
    for run, code in (
        (a_run("r9", input={"x": "y" * INPUT_BYTES_MAX}), "run_invalid"),
        (a_run("r9", locks=tuple(LockWish(name=f"l{each}") for each in range(65))), "run_invalid"),
        (a_run("r9", locks=(LockWish(name=""),)), "run_invalid"),
        (a_run("r9", parent="r1"), "run_too_deep"),
        (a_run("r9", parent="r2"), "run_ended"),
    ):
        found = start(PlanState(hand.state), run)
        assert isinstance(found, Refusal)
        assert found.code == code
    await hand.put(keys.run("r3"), a_run("r3"))
    found = start(PlanState(hand.state), a_run("r9"))
    assert isinstance(found, Refusal)
    assert (found.code, found.retryable) == ("too_many_runs", True)


async def test_a_child_knows_how_deep_it_is() -> None:
    hand = await hand_with(a_run("r1", depth=1, root="r0"))
    found = start(PlanState(hand.state), a_run("r9", parent="r1"))
    assert isinstance(found, Started)
    assert found.changes[0].after is not None
    run = decode(found.changes[0].after, RunRecord)
    assert (run.depth, run.root) == (2, "r0")


async def test_what_runs_do_joins_the_audit() -> None:
    hand = await hand_with()
    trail = RunTrail(clock=hand.clock, new_id=lambda: "id9")
    run = a_run(title="node.replace", state=RunState.NEEDS_HUMAN, reason="nobody knows")
    note = Note(kind="run_parked", run=run, summary="nobody knows", by="ben", detail={"step": "a"})
    await hand.store.txn((), trail(note))
    found = (await records(hand))[-1]
    assert (found.kind, found.subject, found.summary) == ("run_parked", "run:r1", "node.replace: nobody knows")
    assert (found.actor.id, found.actor.behind, found.detail["by"]) == ("workflow", ANNA, "ben")


def told(before: RunRecord | StepRecord | None, after: RunRecord | StepRecord) -> tuple[str, dict[str, object]] | None:
    key = keys.run("r1") if isinstance(after, RunRecord) else keys.run_step("r1", 1)
    item = KeyValue(key=key, value=encode(after), create_revision=Revision(1), mod_revision=Revision(1), version=1)
    batch = WatchBatch(revision=Revision(1), events=(WatchEvent(kind="put", item=item),))
    found = facts_of(batch, lambda _: encode(before) if before is not None else None)
    return (found[0].event, found[0].data) if found else None


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (None, {}, "RunQueued"),
        ({}, {"state": RunState.RUNNING}, "RunStarted"),
        ({}, {"state": RunState.BLOCKED, "reason": "waits for the locks of r0"}, "LockWaited"),
        ({"state": RunState.RUNNING}, {"state": RunState.WAITING, "waits_for": "x"}, "RunWaits"),
        ({"state": RunState.WAITING}, {"state": RunState.RUNNING}, "RunWoke"),
        ({"state": RunState.RUNNING}, {"state": RunState.PAUSED}, "RunPaused"),
        ({"state": RunState.PAUSED}, {"state": RunState.RUNNING}, "RunResumed"),
        ({"state": RunState.RUNNING}, {"state": RunState.NEEDS_HUMAN, "reason": "?"}, "RunNeedsHuman"),
        ({"state": RunState.RUNNING}, {"state": RunState.COMPENSATING}, "RunCompensating"),
        ({"state": RunState.RUNNING}, {"state": RunState.SUCCEEDED}, "RunEnded"),
        ({"state": RunState.RUNNING, "epoch": 1}, {"state": RunState.RUNNING, "epoch": 2}, "RunTakenOver"),
        ({"state": RunState.RUNNING, "epoch": 1}, {"state": RunState.RUNNING, "epoch": 1, "steps": 2}, None),
    ],
)
async def test_facts_of_runs(before: dict[str, Any] | None, after: dict[str, Any], event: str | None) -> None:
    found = told(a_run(**before) if before is not None else None, a_run(title="node.replace", **after))
    assert (found[0] if found else None) == event
    if found:
        assert (found[1]["run"], found[1]["title"]) == ("r1", "node.replace")


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (None, {}, "RunStepBegan"),
        ({}, {"state": "done"}, "RunStepEnded"),
        ({}, {"state": "failed", "error": StepError(code="no", detail="no")}, "RunStepEnded"),
        ({}, {"attempt": 2}, "RunStepRetried"),
        ({}, {"state": "waiting", "signal": "x"}, "RunStepWaits"),
        ({"state": "waiting"}, {"state": "begun"}, "RunStepResumed"),
        ({"state": "done"}, {"state": "undone"}, "RunStepUndone"),
        ({}, {"unknown": True}, None),
    ],
)
async def test_facts_of_steps(before: dict[str, Any] | None, after: dict[str, Any], event: str | None) -> None:
    def step(members: dict[str, Any]) -> StepRecord:
        found = StepRecord(number=1, step="a", action="a", effect="once", timeout_s=1, began_unix_ms=1)  # type: ignore[arg-type]
        return msgspec.structs.replace(found, **members)

    found = told(step(before) if before is not None else None, step(after))
    assert (found[0] if found else None) == event
