"""Runs that go back: what was done is undone, by a failure, a limit or a person's word, and no further."""

from __future__ import annotations

from typing import Any

import anyio

from runtime.operations.operation import Effect
from runtime.state import keys
from runtime.workflow.flow import Done, Waits
from runtime.workflow.records import ENDED, LockWish, RunState
from tests.unit.workflow_parts import EngineOnHand, crashes, do, fails, never, simulated


def test_a_run_that_takes_too_long_is_undone() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b", timeout_s=100)])
        hand.action("b").works = never
        async with hand.leading():
            await hand.start(limit_s=5)
            run = await hand.until(*ENDED)
        assert (run.state, run.error.code if run.error else "") == (RunState.COMPENSATED, "run_timeout")
        assert ("undo", "r1/a") in hand.calls

    simulated(story)


def test_what_was_done_is_undone_in_reverse_order() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b"), do("c", undo=True), do("d")])
        hand.action("d").works = fails
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert (run.state, run.error.code if run.error else "") == (RunState.COMPENSATED, "no_luck")
        assert [call for call in hand.calls if call[0] == "undo"] == [("undo", "r1/c"), ("undo", "r1/a")]
        assert [each.state for each in hand.steps()] == ["undone", "done", "undone", "failed"]
        assert [note.kind for note in hand.notes] == ["run_compensating", "run_ended"]

    simulated(story)


def test_an_undo_that_fails_parks_the_run_with_its_locks_until_a_person_resolves_it() -> None:
    async def story(outcome: str) -> EngineOnHand:
        hand = EngineOnHand([do("a", undo=True), do("b")])
        hand.action("b").works, hand.action("a").undoes = fails, crashes
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            run = await hand.until(RunState.NEEDS_HUMAN)
            assert "a mistake" in run.reason
            assert hand.locks()["x"].holders[0].run == "r1"
            assert len([call for call in hand.calls if call[0] == "undo"]) == 5
            hand.action("a").undoes = None
            if outcome:
                await hand.order("retry-step", step="a", outcome=outcome)
            else:
                await hand.order("cancel")
            await hand.until(*ENDED)
        assert not hand.locks()
        return hand

    again = simulated(lambda: story("again"))
    assert (again.run().state, again.run().undo_left) == (RunState.COMPENSATED, ())
    left = simulated(lambda: story("skipped"))
    assert (left.run().state, left.run().undo_left) == (RunState.COMPENSATED, ("a",))
    given_up = simulated(lambda: story(""))
    assert (given_up.run().state, given_up.run().undo_left) == (RunState.CANCELLED, ("a",))
    assert given_up.notes[-1].detail["effects_left"] == ["a"]


def test_compensation_is_not_cancelled_and_outlives_the_runs_limit() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b")])
        hand.action("b").works = fails

        async def slowly(_: Any) -> None:
            await anyio.sleep(8)

        hand.action("a").undoes = slowly
        async with hand.leading():
            await hand.start(limit_s=4)
            await hand.until(RunState.COMPENSATING)
            await hand.order("cancel")
            run = await hand.until(*ENDED)
        assert run.state is RunState.COMPENSATED
        assert [call for call in hand.calls if call[0] == "undo"] == [("undo", "r1/a")]

    simulated(story)


def test_cancelling_stops_the_step_under_way_and_undoes_what_was_done() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b", Effect.ONCE)])
        hand.action("b").works, hand.action("b").probes = never, lambda _: Done({})
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            await hand.until_seen(lambda: ("run", "r1/b") in hand.calls)
            await hand.order("cancel", reason="not today")
            run = await hand.until(*ENDED)
        assert (run.state, run.error.detail if run.error else "") == (RunState.CANCELLED, "not today")
        assert hand.calls[-2:] == [("probe", "r1/b"), ("undo", "r1/a")]
        assert [each.state for each in hand.steps()] == ["undone", "done"], "what took effect is told as it is"
        assert not hand.locks()
        assert keys.run_order("r1") not in hand.store.items

    simulated(story)


def test_a_run_that_goes_back_first_ends_those_it_began() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b")])

        def work(context: Any) -> Any:
            return never(context) if context.run.parent else Waits("run/r2")

        hand.action("b").works = work
        async with hand.leading():
            await hand.start()
            await hand.until(RunState.WAITING)
            await hand.start("r2", parent="r1", depth=1)
            await hand.until_seen(lambda: ("run", "r2/b") in hand.calls)
            await hand.order("cancel")
            await hand.until(*ENDED)
        assert hand.run("r2").state is RunState.CANCELLED
        assert [call for call in hand.calls if call[0] == "undo"] == [("undo", "r2/a"), ("undo", "r1/a")]

    simulated(story)


def test_a_run_of_too_many_steps_goes_back() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("n/0", undo=True), *(do(f"n/{each}") for each in range(1, 250))])
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert (run.state, run.error.code if run.error else "") == (RunState.COMPENSATED, "too_many_steps")

    simulated(story)
