"""Runs that wait: for the time, for signals, for room in the store."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from runtime.operations.operation import Effect
from runtime.state import keys
from runtime.workflow.flow import Did, Finish, Sleep, Wait, Waits
from runtime.workflow.records import ENDED, RunState
from tests.unit.workflow_parts import EngineOnHand, LoopClock, do, simulated


def test_timers_are_recorded_and_a_new_leader_wakes_up() -> None:
    async def story() -> None:
        clock, hand = LoopClock(), EngineOnHand()
        until = clock.unix_ms() + 60_000

        class Sleeps:
            def next(self, run: Any) -> Any:
                return Finish() if run.now_unix_ms >= until else Sleep(until_unix_ms=until)

        hand.kind.flow = Sleeps()
        async with hand.leading():
            await hand.start()
            run = await hand.until(RunState.WAITING)
            assert run.wake_unix_ms == until
        hand.lead_anew()
        async with hand.leading():
            await hand.until(*ENDED)
        assert clock.unix_ms() - until < 100

    simulated(story)


def test_a_step_waits_for_its_signal_and_is_called_again_with_it() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", Effect.ONCE)])

        def work(context: Any) -> Any:
            if context.signal is None:
                return Waits("vote", note={"asked": 1})
            return Did({"said": context.signal.data["said"], "note": context.note["asked"]})

        hand.action("a").works = work
        async with hand.leading():
            await hand.start()
            run = await hand.until(RunState.WAITING)
            assert run.waits_for == "vote"
        hand.lead_anew()
        async with hand.leading():
            await hand.tell("vote", said="yes")
            await hand.until(*ENDED)
        assert hand.steps()[0].result == {"said": "yes", "note": 1}
        assert [what for what, _ in hand.calls] == ["run", "run"]

    simulated(story)


def test_a_signal_that_does_not_come_fails_the_step() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        hand.action("a").works = lambda _: Waits("vote", until_unix_ms=LoopClock().unix_ms() + 5_000)
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert run.error is not None
        assert run.error.code == "wait_timeout"

    simulated(story)


def test_a_source_tells_signals_by_itself() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        hand.action("a").works = lambda context: Did(context.signal.data) if context.signal else Waits("proposal/p1")

        class Source:
            async def wait(self, rest: str) -> dict[str, object]:
                await anyio.sleep(3)
                return {"of": rest}

        hand.sources["proposal"] = Source()
        async with hand.leading():
            await hand.start()
            await hand.until(*ENDED)
        assert hand.steps()[0].result == {"of": "p1"}
        assert keys.run_signal("r1", "proposal/p1") in hand.store.items

    simulated(story)


def test_a_flow_waits_for_a_signal_or_a_time() -> None:
    async def story() -> None:
        hand, until = EngineOnHand(), LoopClock().unix_ms() + 9_000

        class Waiting:
            def next(self, run: Any) -> Any:
                if run.signal("go") is not None:
                    return Finish(result={"by": "signal"})
                if run.now_unix_ms >= until:
                    return Finish(result={"by": "time"})
                return Wait(signal="go", until_unix_ms=until)

        hand.kind.flow = Waiting()
        async with hand.leading():
            await hand.start("r1")
            await hand.start("r2")
            await hand.until(RunState.WAITING)
            await hand.tell("go")
            assert (await hand.until(*ENDED)).result == {"by": "signal"}
            assert (await hand.until(*ENDED, identity="r2")).result == {"by": "time"}

    simulated(story)


def test_a_full_store_keeps_a_run_waiting_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        from runtime.consensus.errors import QuotaExceeded

        hand = EngineOnHand([do("a")])
        inner, refused = hand.store.txn, []

        async def txn(compare: Any, then: Any, otherwise: Any = ()) -> Any:
            if any(getattr(each, "key", "").startswith("run-step") for each in then) and len(refused) < 3:
                refused.append(1)
                raise QuotaExceeded("run-step is full")
            return await inner(compare, then, otherwise)

        monkeypatch.setattr(hand.store, "txn", txn)
        async with hand.leading():
            await hand.start()
            await hand.until(RunState.SUCCEEDED)
        assert [line.event for line in hand.log.lines] == ["run_not_written"] * 3 + ["run_ended"]

    simulated(story)
