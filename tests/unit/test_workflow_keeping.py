"""What is kept of runs: compacted, as content, trimmed in the end, and of a newer release left alone."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.consensus.store import Put
from runtime.state import keys
from runtime.workflow.flow import Did
from runtime.workflow.limits import RESULT_BYTES_MAX, STEPS_KEPT
from runtime.workflow.records import ENDED, LockWish, RunState
from runtime.workflow.trimming import trim
from tests.unit.workflow_parts import EngineOnHand, do, fails, never, simulated


def test_long_runs_are_compacted_and_still_know_their_steps() -> None:
    async def story() -> None:
        count = STEPS_KEPT + 40
        hand = EngineOnHand([do("first", undo=True), *(do(f"n/{each}") for each in range(count)), do("last")])
        hand.action("last").works = fails
        async with hand.leading():
            await hand.start()
            run = await hand.until(*ENDED)
        assert run.state is RunState.COMPENSATED
        assert len(hand.steps()) <= STEPS_KEPT + 1
        assert len(run.digests) + len(hand.steps()) == count + 2
        assert [key for what, key in hand.calls if what == "run"] == [
            "r1/first",
            *(f"r1/n/{each}" for each in range(count)),
            "r1/last",
        ]
        assert ("undo", "r1/first") in hand.calls, "what is owed an undo is not compacted away"

    simulated(story)


def test_long_results_are_content_and_come_back() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a", undo=True), do("b")])
        text = "x" * (RESULT_BYTES_MAX + 1)
        given: list[int] = []
        hand.action("a").works = lambda _: Did({"text": text})

        def undo(context: Any) -> None:
            found = context.run.step("a")
            given.append(len(found.result["text"]))

        hand.action("a").undoes = undo
        hand.action("b").works = never
        async with hand.leading():
            await hand.start()
            await hand.until_seen(lambda: ("run", "r1/b") in hand.calls)
        assert hand.steps()[0].result == {}
        hand.lead_anew()
        hand.action("b").works = fails
        async with hand.leading():
            await hand.until(RunState.COMPENSATED)
        assert given == [len(text)]

    simulated(story)


def test_ended_runs_are_trimmed_with_all_that_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.workflow.trimming.ENDED_MAX", 2)

    async def story() -> None:
        hand = EngineOnHand([do("a")])
        async with hand.leading():
            for each in range(5):
                await hand.start(f"r{each}")
                await hand.tell("x", f"r{each}")
                await hand.until(*ENDED, identity=f"r{each}")
        fence = hand.store.engine.machine.keys.get("_leader")
        assert fence is not None
        assert await trim(hand.ports, fence.mod_revision) == 3
        assert {key.split("/")[1] for key in hand.store.items} == {"r3", "r4"}

    simulated(story)


def test_records_of_a_newer_release_are_left_alone_and_stop_nothing_else() -> None:
    async def story() -> None:
        hand = EngineOnHand([do("a")])
        for key in ("run/new", "run-lock/new", "run-order/r1", "run-signal/r1/new"):
            await hand.store.txn((), [Put(key=key, value=b'{"name": ["of another form"]}')])
        await hand.start("r2", state=RunState.RUNNING, began_unix_ms=1)
        await hand.store.txn((), [Put(key=keys.run_step("r2", 1), value=b'{"number": "one"}')])
        async with hand.leading():
            await hand.start(locks=(LockWish(name="x"),))
            await hand.until(RunState.SUCCEEDED)
            assert hand.run("r2").state is RunState.RUNNING
        assert {line.event for line in hand.log.lines} == {"run_unreadable", "run_ended"}

    simulated(story)
