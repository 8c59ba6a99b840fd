"""Runs carried out: what is recorded, in which order, and what is asked again after a leader is gone."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from runtime.consensus.store import Revision
from runtime.operations.operation import Effect
from runtime.workflow import engine as engine_module
from runtime.workflow.engine import WorkflowEngine
from runtime.workflow.errors import Deposed, StepFailed
from runtime.workflow.flow import Ask, Done, Fail, Finish, NotDone, RetryPolicy, Unknown
from runtime.workflow.limits import TAKEOVERS_MAX
from runtime.workflow.records import ENDED, RunState
from tests.unit.workflow_parts import EngineOnHand, crashes, do, fails, never, simulated


def test_outcome_and_next_intent_are_one_write() -> None:
    """A run of n steps costs its start and n + 1 writes: else each step would wait for two quorums."""

    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b"), do("c")])
        async with hand.leading():
            await hand.start()
            before = hand.store.engine.machine.revision
            run = await hand.until(*ENDED)
            assert hand.store.engine.machine.revision - before == 4
        assert run.state is RunState.SUCCEEDED
        assert run.result == {"steps": 3}
        assert hand.calls == [("run", "r1/a"), ("run", "r1/b"), ("run", "r1/c")]
        assert [each.state for each in hand.steps()] == ["done"] * 3
        assert [note.kind for note in hand.notes] == ["run_ended"]

    simulated(story)


def test_intent_is_recorded_before_the_effect() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        seen: list[list[str]] = []
        hand.action("b").works = lambda _: seen.append([each.state for each in hand.steps()])
        async with hand.leading():
            await hand.start()
            await hand.until(*ENDED)
        assert seen == [["done", "begun"]]

    simulated(story)


@pytest.mark.parametrize(
    ("effect", "found", "calls", "state"),
    [
        (Effect.READ, NotDone(), ["run", "run"], RunState.SUCCEEDED),
        (Effect.IDEMPOTENT, NotDone(), ["run", "run"], RunState.SUCCEEDED),
        (Effect.ONCE, Done({"found": True}), ["run", "probe"], RunState.SUCCEEDED),
        (Effect.ONCE, NotDone(), ["run", "probe", "run"], RunState.SUCCEEDED),
        (Effect.ONCE, Unknown("the log is gone"), ["run", "probe"], RunState.NEEDS_HUMAN),
    ],
)
def test_a_new_leader_goes_on_by_the_class_of_effect(
    effect: Effect, found: object, calls: list[str], state: RunState
) -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", effect)])
        hand.action("a").works, hand.action("a").probes = never, lambda _: found
        async with hand.leading():
            await hand.start()
            await hand.until_seen(lambda: bool(hand.calls))
        hand.action("a").works = None
        hand.lead_anew()
        async with hand.leading():
            run = await hand.until(RunState.NEEDS_HUMAN, *ENDED)
        assert run.state is state
        assert run.epoch == 2
        assert [what for what, _ in hand.calls] == calls

    simulated(story)


def test_what_nobody_can_tell_waits_for_a_persons_word() -> None:
    async def story(outcome: str) -> EngineOnHand:
        hand = EngineOnHand([do("a", Effect.ONCE), do("b")])
        hand.action("a").works, hand.action("a").probes = crashes, lambda _: Unknown("the log is gone")
        async with hand.leading():
            await hand.start()
            run = await hand.until(RunState.NEEDS_HUMAN)
            assert ("the log is gone" in run.reason, run.unsettled) == (True, ("a",))
            hand.action("a").works = None
            await hand.order("retry-step", step="a", outcome=outcome)
            await hand.until(*ENDED)
        assert (hand.run().state, hand.run().unsettled) == (RunState.SUCCEEDED, None)
        assert [note.kind for note in hand.notes] == ["run_parked", "run_step_resolved", "run_ended"]
        assert next(each.resolved_by for each in hand.steps()) == "anna"
        return hand

    assert [what for what, _ in simulated(lambda: story("again")).calls] == ["run", "probe", "run", "run"]
    assert [what for what, _ in simulated(lambda: story("done")).calls] == ["run", "probe", "run"]


def test_attempts_wait_longer_each_time_and_survive_the_leader() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", retry=RetryPolicy(attempts=3, first_s=4, most_s=30))])
        at: list[float] = []

        def work(context: Any) -> None:
            at.append(anyio.current_time())
            if len(at) < 3:
                raise StepFailed("not_yet", "wait", again=True)

        hand.action("a").works = work
        async with hand.leading():
            await hand.start()
            await hand.until_seen(lambda: bool(at) and hand.steps()[0].attempt == 2)
        hand.lead_anew()
        async with hand.leading():
            assert (await hand.until(*ENDED)).state is RunState.SUCCEEDED
        assert 2 <= at[1] - at[0] <= 4
        assert 4 <= at[2] - at[1] <= 8
        assert hand.steps()[0].attempt == 3

    simulated(story)


def test_a_step_that_takes_too_long_fails() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", timeout_s=3)])
        hand.action("a").works = never
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert run.state is RunState.FAILED
        assert run.error is not None
        assert run.error.code == "step_timeout"

    simulated(story)


def test_a_deposed_engine_writes_nothing_and_stops_its_effects() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        stopped: list[str] = []

        async def work(_: Any) -> None:
            try:
                await anyio.sleep(5)
                hand.lead_anew()
            except anyio.get_cancelled_exc_class():
                stopped.append("b of another run")
                raise

        async def long(_: Any) -> None:
            try:
                await anyio.sleep(100)
            except anyio.get_cancelled_exc_class():
                stopped.append("r2")
                raise

        hand.action("a").works = lambda context: work(context) if context.run.id == "r1" else long(context)
        await hand.start("r1")
        await hand.start("r2")
        fence = hand.store.engine.machine.keys.get("_leader")
        assert fence is not None
        with pytest.raises(Deposed):
            await WorkflowEngine(hand.ports).run(Revision(fence.mod_revision))
        assert stopped == ["r2"]
        assert [each.state for each in hand.steps("r1")] == ["begun"]

    simulated(story)


def test_a_write_of_an_earlier_engine_that_comes_late_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one under the same leadership, whose fence would let it pass: the takeover has changed the run."""

    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        inner, late = hand.store.txn, []

        async def txn(compare: Any, then: Any, otherwise: Any = ()) -> Any:
            if not late and any(b'"done"' in getattr(each, "value", b"") for each in then):
                late.append((compare, then, otherwise))
                await anyio.sleep_forever()
            return await inner(compare, then, otherwise)

        monkeypatch.setattr(hand.store, "txn", txn)
        async with hand.leading():
            await hand.start()
            await hand.until_seen(lambda: hand.steps() != [])
            await anyio.sleep(1)
            assert late
        hand.action("a").works = never
        async with hand.leading():
            await hand.until_seen(lambda: hand.run().epoch == 2)
            assert not (await inner(*late[0])).succeeded
        assert [each.state for each in hand.steps()] == ["begun"]

    simulated(story)


def test_an_attempt_that_saw_too_many_leaders_end_is_left_to_a_person() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        hand.action("a").works = never
        await hand.start()
        for number in range(TAKEOVERS_MAX + 1):
            async with hand.leading():
                await hand.until_seen(lambda number=number: len(hand.calls) > number)
            hand.lead_anew()
        async with hand.leading():
            run = await hand.until(RunState.NEEDS_HUMAN)
            assert "saw 5 leaders end" in run.reason
            hand.action("a").works = None
            await hand.order("resume")
            await hand.until(RunState.SUCCEEDED)

    simulated(story)


def test_a_broken_flow_or_definition_stops_its_own_run_alone() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])

        class Broken:
            def next(self, run: Any) -> Any:
                if run.id == "r1":
                    raise KeyError("a mistake in a flow")
                return Finish()

        hand.kind.flow = Broken()
        async with hand.leading():
            await hand.start("r1")
            await hand.start("r2")
            await hand.start("r3", definition=hand.bytes.add(b"broken"))
            await hand.start("r4", definition="0" * 64)
            await hand.start("r5", kind="of another release")
            await hand.until(RunState.SUCCEEDED, identity="r2")
            for each, words in (
                ("r1", "a mistake in a flow"),
                ("r3", "it is broken"),
                ("r4", "nobody has"),
                ("r5", "knows no runs of kind"),
            ):
                assert words in (await hand.until(RunState.NEEDS_HUMAN, identity=each)).reason
            hand.bytes.kept["0" * 64] = b"found again"
            await hand.order("resume", "r4")
            await hand.until(RunState.SUCCEEDED, identity="r4")
            await hand.order("cancel", "r5")
            await hand.until(RunState.CANCELLED, identity="r5")

    simulated(story)


def test_what_a_flow_may_not_ask_for_parks_the_run() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("x" * 65)])
        async with hand.leading():
            await hand.start()
            assert "1 to 64 characters" in (await hand.until(RunState.NEEDS_HUMAN)).reason

        class Again:
            def next(self, run: Any) -> Any:
                return do("a")

        hand = EngineOnHand([do("a")])
        hand.kind.flow = Again()
        async with hand.leading():
            await hand.start()
            assert "never begun again" in (await hand.until(RunState.NEEDS_HUMAN)).reason
        hand = EngineOnHand([do("a")])
        del hand.kind.actions["a"]
        async with hand.leading():
            await hand.start()
            assert "knows no action a" in (await hand.until(RunState.NEEDS_HUMAN)).reason

    simulated(story)


def test_a_flow_asks_and_a_person_tries_the_step_again() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])

        class Asks:
            def next(self, run: Any) -> Any:
                step = run.step("a")
                if step is None:
                    return do("a")
                return Ask(detail="what now?") if step.state == "failed" else Finish()

        hand.kind.flow = Asks()
        hand.action("a").works = fails
        async with hand.leading():
            await hand.start()
            await hand.until(RunState.NEEDS_HUMAN)
            hand.action("a").works = None
            await hand.order("retry-step", step="a")
            await hand.until(RunState.SUCCEEDED)
        assert len(hand.calls) == 2

    simulated(story)


def test_a_mistake_of_the_engine_sets_its_run_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        inner, times = engine_module.Driver._attempt, []

        async def broken(self: Any, step: Any) -> None:
            if not times:
                times.append(1)
                raise AssertionError("a mistake")
            await inner(self, step)

        monkeypatch.setattr(engine_module.Driver, "_attempt", broken)
        async with hand.leading():
            await hand.start()
            assert "a mistake" in (await hand.until(RunState.NEEDS_HUMAN)).reason
            await hand.order("resume")
            await hand.until(RunState.SUCCEEDED)

    simulated(story)


def test_a_failed_flow_fails_its_run() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), Fail(code="no", detail="enough")])
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert run.state is RunState.FAILED
        assert ("undo", "r1/a") not in hand.calls

    simulated(story)
