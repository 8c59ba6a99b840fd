"""Runs and locks as the API tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from runtime.names import Sha256
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.operation import Effect
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow.flow import StepError
from runtime.workflow.records import (
    LockHolder,
    LockRecord,
    LockWaiter,
    LockWish,
    RunOrder,
    RunRecord,
    RunState,
    SignalRecord,
    StepDigest,
    StepRecord,
)
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio
ANNA = Actor(kind=ActorKind.PERSON, id="anna", role=Role.OPERATOR)
BOT = Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, behind=ANNA)
FIRST = StepDigest(
    number=1, step="look", action="look", state="done", attempt=1, began_unix_ms=1, ended_unix_ms=2, sha256="ab"
)
SECOND = StepRecord(
    number=2,
    step="replace",
    action="replace",
    effect=Effect.ONCE,
    timeout_s=5,
    undo=True,
    began_unix_ms=3,
    unknown=True,
    error=StepError(code="step_timeout", detail="it took more than 5 s"),
)
RUNS = (
    RunRecord(
        id="r1",
        kind="playbook",
        title="node.replace 1.0.0",
        definition=Sha256("d"),
        actor=BOT,
        created_unix_ms=1,
        state=RunState.NEEDS_HUMAN,
        reason="nobody can tell whether step replace took effect",
        epoch=3,
        locks=(LockWish(name="node/n1"),),
        fences={"node/n1": 7},
        digests=(FIRST,),
    ),
    RunRecord(id="r2", kind="playbook", definition=Sha256("d"), actor=ANNA, created_unix_ms=2, parent="r1"),
    RunRecord(
        id="r3",
        kind="list",
        definition=Sha256("d"),
        actor=ANNA,
        created_unix_ms=3,
        state=RunState.BLOCKED,
        locks=(LockWish(name="node/n1"),),
    ),
)


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        for run in RUNS:
            await found.hand.put(keys.run(run.id), run)
        await found.hand.put(keys.run_step("r1", 2), SECOND)
        signal = SignalRecord(name="ready", at_unix_ms=4, by="anna", data={"x": 1})
        await found.hand.put(keys.run_signal("r1", "ready"), signal)
        lock = LockRecord(
            name="node/n1",
            holders=(LockHolder(run="r1", mode="exclusive", number=7, since_unix_ms=1),),
            waiters=(LockWaiter(run="r3", mode="exclusive", since_unix_ms=3),),
        )
        await found.hand.put(keys.run_lock("node/n1"), lock)
        await found.seen()
        yield found


async def test_runs_are_listed_newest_first_by_state_and_kind(api: ApiOnHand) -> None:
    for given, expected in (
        ({}, ["r3", "r2", "r1"]),
        ({"state": "needs_human"}, ["r1"]),
        ({"kind": "list"}, ["r3"]),
    ):
        page = (await api.ask("vic", "GET", "/v1/runs", params=given)).json()
        assert [each["id"] for each in page["items"]] == expected
    first = (await api.ask("vic", "GET", "/v1/runs", params={"limit": 2})).json()
    rest = (await api.ask("vic", "GET", "/v1/runs", params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["id"] for each in rest["items"]] == ["r1"]


async def test_steps_that_began_since_the_run_was_written_are_counted(api: ApiOnHand) -> None:
    """Steps do not write the run anew: whoever watched the list saw a run stand still that went on."""
    before = (await api.ask("vic", "GET", "/v1/runs", params={"kind": "list"})).json()["items"][0]["steps"]
    for number in (1, 2):
        await api.hand.put(keys.run_step("r3", number), msgspec.structs.replace(SECOND, number=number))
    after = (await api.ask("vic", "GET", "/v1/runs", params={"kind": "list"})).json()["items"][0]["steps"]
    assert (before, after) == (0, 2)


async def test_a_run_is_shown_with_what_it_did_and_waits_for(api: ApiOnHand) -> None:
    shown = (await api.ask("vic", "GET", "/v1/runs/r1")).json()
    assert (shown["run"]["state"], shown["run"]["title"]) == ("needs_human", "node.replace 1.0.0")
    assert (shown["behind"], shown["children"], shown["epoch"]) == (["anna"], ["r2"], 3)
    assert (shown["locks"], shown["fences"]) == ({"node/n1": "exclusive"}, {"node/n1": 7})
    assert [(each["step"], each["state"], each["unknown"], each["undo"]) for each in shown["steps"]] == [
        ("look", "done", False, "none"),
        ("replace", "begun", True, "owed"),
    ]
    assert shown["steps"][1]["error"]["code"] == "step_timeout"
    assert shown["signals"] == [{"name": "ready", "at_unix_ms": 4, "by": "anna", "data": {"x": 1}}]


async def test_an_unknown_run_is_not_found(api: ApiOnHand) -> None:
    answer = await api.ask("vic", "GET", "/v1/runs/r9")
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")


async def test_locks_are_told_with_who_has_them_and_who_waits(api: ApiOnHand) -> None:
    (row,) = (await api.ask("vic", "GET", "/v1/locks", params={"run": "r3"})).json()["items"]
    assert [(each["run"], each["number"]) for each in row["holders"]] == [("r1", 7)]
    assert [(each["run"], each["number"]) for each in row["waiters"]] == [("r3", 0)]
    assert (await api.ask("vic", "GET", "/v1/locks", params={"run": "r2"})).json()["items"] == []


async def test_an_order_given_over_the_api_is_signed_and_shown_until_it_is_carried_out(api: ApiOnHand) -> None:
    answer = await api.ask("anna", "POST", "/v1/runs/r1/retry-step", json={"step": "replace", "outcome": "done"})
    assert answer.status_code == 200, answer.text
    order = decode(api.hand.store.items[keys.run_order("r1")].value, RunOrder)
    assert (order.order, order.step, order.outcome, order.by) == ("retry-step", "replace", "done", "anna")
    await api.seen()
    assert (await api.ask("vic", "GET", "/v1/runs/r1")).json()["order"] == "retry-step"
    refused = await api.ask("vic", "POST", "/v1/runs/r1/cancel", json={})
    assert refused.status_code == 403, "viewers look on"
