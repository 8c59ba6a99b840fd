"""Locks as runs hold them: while paused, while they wait, in families, and until they end."""

from __future__ import annotations

from typing import Any

import anyio

from runtime.workflow.flow import Did, Waits
from runtime.workflow.records import ENDED, LockWish, RunState
from tests.unit.workflow_parts import EngineOnHand, do, never, simulated


def test_a_paused_run_keeps_its_locks_and_goes_on_where_it_was() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        async with hand.leading():
            hand.action("a").works = lambda _: hand.order("pause")
            await hand.start(locks=(LockWish(name="x"),))
            await hand.start("r2", locks=(LockWish(name="x"),))
            await hand.until(RunState.PAUSED)
            await hand.until(RunState.BLOCKED, identity="r2")
            await anyio.sleep(600)
            assert hand.run("r2").reason == "waits for the locks of r1"
        hand.lead_anew()
        async with hand.leading():
            await anyio.sleep(600)
            assert hand.run().state is RunState.PAUSED
            hand.action("a").works = None
            await hand.order("resume")
            await hand.until(*ENDED)
            await hand.until(*ENDED, identity="r2")
        assert [key for what, key in hand.calls] == ["r1/a", "r1/b", "r2/a", "r2/b"]

    simulated(story)


def test_a_run_that_waits_for_locks_can_be_cancelled() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        hand.action("a").works = never
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            await hand.start("r2", locks=(LockWish(name="x"), LockWish(name="y")))
            await hand.until(RunState.BLOCKED, identity="r2")
            assert set(hand.locks()) == {"x", "y"}
            await hand.order("cancel", "r2")
            await hand.until(RunState.CANCELLED, identity="r2")
        assert set(hand.locks()) == {"x"}
        assert not hand.locks()["x"].waiters

    simulated(story)


def test_numbers_of_grants_only_grow() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        numbers: list[int] = []
        hand.action("a").works = lambda context: numbers.append(context.run.fences["x"])
        async with hand.leading():
            for each in range(5):
                await hand.start(f"r{each}", locks=(LockWish(name="x"),))
            for each in range(5):
                await hand.until(*ENDED, identity=f"r{each}")
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 5

    simulated(story)


def test_one_that_may_not_wait_ends_at_once() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        hand.action("a").works = never
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            await hand.until_seen(lambda: bool(hand.calls))
            await hand.start("r2", locks=(LockWish(name="x"),), on_conflict="reject")
            run = await hand.until(*ENDED, identity="r2")
        assert run.error is not None
        assert run.error.code == "lock_conflict"
        assert not hand.locks()["x"].waiters

    simulated(story)


def test_a_child_has_its_familys_locks_and_tells_its_parent_how_it_ended() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])

        def work(context: Any) -> Any:
            if context.run.parent:
                return None
            return Did(context.signal.data) if context.signal else Waits("run/r2")

        hand.action("a").works = work
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            await hand.until(RunState.WAITING)
            await hand.start("r2", parent="r1", depth=1, locks=(LockWish(name="x"),))
            await hand.until(*ENDED)
        assert hand.run("r2").state is RunState.SUCCEEDED
        assert hand.steps("r1")[0].result["state"] == "succeeded"
        assert not hand.locks()

    simulated(story)


def family(hand: EngineOnHand) -> None:
    """`a` of the parent waits a minute for its child; that one's `a` ends with the signal "ready"."""

    def work(context: Any) -> Any:
        if context.signal:
            return Did(context.signal.data)
        if context.run.parent:
            return Waits("ready")
        return Waits("run/r2", until_unix_ms=context.run.now_unix_ms + 60_000)

    hand.action("a").works = work


def test_a_family_is_held_and_goes_on_as_one_and_what_waited_has_lost_no_time() -> None:
    """Else a paused run's child goes on, or its parent's time limit ends what somebody only held up."""

    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        family(hand)
        async with hand.leading():
            await hand.start(limit_s=90)
            await hand.until(RunState.WAITING)
            await hand.start("r2", parent="r1", depth=1, limit_s=90)
            await hand.until(RunState.WAITING, identity="r2")
            await hand.order("pause")
            await hand.until(RunState.PAUSED, identity="r2")
            assert hand.run("r2").reason == "run r1, which began it, is paused"
        hand.lead_anew()
        async with hand.leading():
            await anyio.sleep(600)
            assert {hand.run(each).state for each in ("r1", "r2")} == {RunState.PAUSED}
            await hand.order("resume")
            await hand.until(RunState.WAITING, identity="r2")
            await hand.tell("ready", "r2")
            await hand.until(*ENDED)
        assert [hand.run(each).state for each in ("r1", "r2")] == [RunState.SUCCEEDED, RunState.SUCCEEDED]
        assert hand.run().paused_ms >= 600_000

    simulated(story)


def test_who_was_paused_alone_stays_so_when_its_parent_goes_on() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        family(hand)
        async with hand.leading():
            await hand.start()
            await hand.until(RunState.WAITING)
            await hand.start("r2", parent="r1", depth=1)
            await hand.until(RunState.WAITING, identity="r2")
            await hand.order("pause", "r2")
            await hand.until(RunState.PAUSED, identity="r2")
            await hand.order("pause")
            await hand.until(RunState.PAUSED)
            await hand.order("resume")
            await hand.until(RunState.WAITING)
            await anyio.sleep(5)
            assert hand.run("r2").state is RunState.PAUSED
            await hand.order("cancel")
            await hand.until(*ENDED)
        assert hand.run("r2").state is RunState.CANCELLED

    simulated(story)


def test_a_child_that_comes_when_its_parent_is_paused_already_is_held_before_its_first_step() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a"), do("b")])
        family(hand)
        async with hand.leading():
            await hand.start()
            await hand.until(RunState.WAITING)
            await hand.order("pause")
            await hand.until(RunState.PAUSED)
            await hand.start("r2", parent="r1", depth=1, locks=(LockWish(name="x"),))
            await hand.until(RunState.PAUSED, identity="r2")
            assert set(hand.locks()) == {"x"}
            assert ("run", "r2/a") not in hand.calls
            await hand.order("resume")
            await hand.until(RunState.WAITING, identity="r2")
            await hand.tell("ready", "r2")
            await hand.until(*ENDED)
        assert hand.run().state is RunState.SUCCEEDED

    simulated(story)
