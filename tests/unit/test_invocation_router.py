"""Routing rules: who gets a call, what is tried again, and what never is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.invocation import waiting
from runtime.invocation.attempt import ATTEMPTS_MAX
from runtime.invocation.balancer import Backend, choose
from runtime.invocation.budget import RetryBudget
from runtime.invocation.context import CallContext
from runtime.invocation.ejection import FAILURES_MAX, Ejection
from runtime.invocation.errors import (
    CallFault,
    ConnectionLost,
    MessageTooLarge,
    NoInstance,
    NoReply,
    NotStarted,
    RemoteFault,
)
from runtime.invocation.incoming import IncomingCall
from runtime.invocation.outcome import Outcome
from runtime.invocation.router import RETRY_AFTER_MS, Router
from runtime.invocation.table import InstanceRow, RestingRow, RoutingTable
from runtime.sdk.contract import MethodContract, SliceContract

Answer = CallFault | bytes


class ScriptedChannel:
    """Answers each call with the next of its script, then with its last."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.calls = 0
        self.is_ready = True

    def start_call(
        self, target: str, payload: bytes, *, context: object, done: Callable, instance: int, http: bool
    ) -> Callable[[], None]:
        answer = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        done(Outcome(b"", answer) if isinstance(answer, CallFault) else Outcome(answer))
        return lambda: None


async def refuse_to_dial(_row: object) -> None:
    raise NotStarted("no network in this test")


class StuckChannel(ScriptedChannel):
    """Answers nothing by itself."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.waiting: list[Callable] = []
        self.came = asyncio.Semaphore(0)

    def start_call(
        self, target: str, payload: bytes, *, context: object, done: Callable, instance: int, http: bool
    ) -> Callable[[], None]:
        self.calls += 1
        self.waiting.append(done)
        self.came.release()
        return lambda: self.waiting.remove(done)

    def end_one(self, outcome: Outcome) -> None:
        self.waiting.pop(0)(outcome)


async def routed(
    *channels: ScriptedChannel,
    idempotent: bool = False,
    weights: tuple[int, ...] = (),
    versions: tuple[str, ...] = (),
    limit: int = 256,
) -> Router:
    """A router with one local inline instance per channel."""
    numbers = itertools.cycle([0.1, 0.9, 0.4, 0.6, 0.25, 0.75])
    router = Router(
        node="n1",
        dial_worker=refuse_to_dial,  # type: ignore[arg-type]
        dial_peer=refuse_to_dial,  # type: ignore[arg-type]
        inline=channels[0],
        random=lambda: next(numbers),
    )
    rows = tuple(
        InstanceRow(
            "tea",
            versions[at] if versions else "1",
            "n1",
            at + 1,
            weights[at] if weights else 100,
            "inline",
        )
        for at in range(len(channels))
    )
    contracts = tuple(
        SliceContract(
            name="tea",
            version=version,
            entry="m:C",
            methods=(MethodContract(name="brew", idempotent=idempotent),),
            concurrency_max=limit,
        )
        for version in {row.version for row in rows}
    )
    await router.apply(RoutingTable(revision=1, node="n1", instances=rows, contracts=contracts))
    for backend, channel in zip(router._by_slice["tea"], channels, strict=True):
        backend.channel = channel
    return router


async def call(router: Router) -> Answer:
    try:
        return await router.call("tea/brew", b"", deadline_s=3)
    except CallFault as error:
        return error


@pytest.mark.anyio
async def test_a_nack_is_tried_elsewhere_even_when_the_method_may_not_run_twice() -> None:
    full, free = ScriptedChannel(NotStarted("full")), ScriptedChannel(b"done")
    router = await routed(full, free)
    assert [await call(router) for _ in range(6)] == [b"done"] * 6


@pytest.mark.anyio
async def test_a_lost_connection_is_not_tried_again_when_the_method_may_not_run_twice() -> None:
    """It may have run. Running it again would charge somebody twice."""
    lost, fine = ScriptedChannel(ConnectionLost("cut")), ScriptedChannel(b"done")
    router = await routed(lost, fine)
    answers = [await call(router) for _ in range(6)]
    assert lost.calls + fine.calls == 6
    assert any(isinstance(answer, ConnectionLost) for answer in answers)


@pytest.mark.anyio
async def test_a_lost_connection_is_tried_elsewhere_when_the_method_is_idempotent() -> None:
    lost, fine = ScriptedChannel(ConnectionLost("cut")), ScriptedChannel(b"done")
    router = await routed(lost, fine, idempotent=True)
    assert [await call(router) for _ in range(6)] == [b"done"] * 6


@pytest.mark.anyio
async def test_an_answer_with_an_error_is_never_tried_again() -> None:
    failing = ScriptedChannel(RemoteFault(code="domain:OutOfTea", detail="none left"))
    router = await routed(failing, failing, idempotent=True)
    assert isinstance(await call(router), RemoteFault)
    assert failing.calls == 1


@pytest.mark.anyio
async def test_a_message_that_nobody_takes_is_refused_at_once() -> None:
    channels = [ScriptedChannel(MessageTooLarge("17 MiB")) for _ in range(3)]
    assert isinstance(await call(await routed(*channels)), MessageTooLarge)
    assert sum(channel.calls for channel in channels) == 1


@pytest.mark.anyio
async def test_retries_are_bounded_when_everybody_is_full() -> None:
    channels = [ScriptedChannel(NotStarted("full")) for _ in range(8)]
    router = await routed(*channels)
    assert isinstance(await call(router), NotStarted)
    assert sum(channel.calls for channel in channels) == ATTEMPTS_MAX


@pytest.mark.anyio
async def test_a_slice_that_nobody_serves_is_refused_at_once() -> None:
    router = await routed(ScriptedChannel(b"done"))
    with pytest.raises(NoInstance):
        await router.call("coffee/brew", b"")


@pytest.mark.anyio
async def test_a_call_waits_a_moment_for_an_instance_that_is_listed_but_not_connected() -> None:
    channel = ScriptedChannel(b"done")
    router = await routed(channel)
    channel.is_ready = False
    answer = asyncio.ensure_future(call(router))
    await asyncio.sleep(0.05)
    assert not answer.done()
    channel.is_ready = True
    assert await answer == b"done"


@pytest.mark.anyio
async def test_an_instance_that_keeps_failing_is_left_out() -> None:
    lost, fine = ScriptedChannel(ConnectionLost("cut")), ScriptedChannel(b"done")
    router = await routed(lost, fine)
    for _ in range(40):
        await call(router)
    assert lost.calls == FAILURES_MAX


async def stuck_calls(wait_s: float, count: int) -> tuple[StuckChannel, ScriptedChannel]:
    """The local one of two instances lets every call run into its deadline, after `wait_s`."""
    stuck, fine = StuckChannel(), ScriptedChannel(b"done")
    router = await routed(stuck, fine)
    router._by_slice["tea"][1].local = False
    now_s = router.time_s()
    router.time_s = lambda: now_s
    for _ in range(count):
        router.start("tea/brew", b"", CallContext.root(now_s + 10), lambda _outcome: None)
        if stuck.waiting:
            now_s += wait_s
            stuck.end_one(Outcome(b"", NoReply("no reply before the deadline")))
        now_s += 0.001
    return stuck, fine


@pytest.mark.anyio
async def test_an_instance_that_says_nothing_is_left_out() -> None:
    """A stuck local instance would have every call of its node, for local ones come first."""
    stuck, fine = await stuck_calls(wait_s=5.0, count=40)
    assert stuck.calls == FAILURES_MAX
    assert fine.calls == 40 - FAILURES_MAX


@pytest.mark.anyio
async def test_clients_that_hardly_wait_make_nobody_look_stuck() -> None:
    stuck, _ = await stuck_calls(wait_s=0.01, count=200)
    assert stuck.calls > FAILURES_MAX


@pytest.mark.anyio
async def test_an_instance_gets_no_more_calls_than_its_contract_takes() -> None:
    """One that is stuck cannot say NACK: without a limit here it would hold all calls of this gateway."""
    stuck = StuckChannel()
    router = await routed(stuck, limit=2)
    calls = [asyncio.ensure_future(call(router)) for _ in range(3)]
    for _ in range(2):
        await asyncio.wait_for(stuck.came.acquire(), 5)
    await asyncio.sleep(0)
    assert stuck.calls == 2
    stuck.end_one(Outcome(b"one"))
    await asyncio.wait_for(stuck.came.acquire(), 5)
    stuck.end_one(Outcome(b"two"))
    stuck.end_one(Outcome(b"three"))
    assert [await each for each in calls] == [b"one", b"two", b"three"]


@pytest.mark.anyio
async def test_only_so_many_calls_of_a_slice_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITING_MAX", 1)
    stuck = StuckChannel()
    router = await routed(stuck, limit=1)
    served, waits, refused = (asyncio.ensure_future(call(router)) for _ in range(3))
    await asyncio.wait_for(stuck.came.acquire(), 5)
    assert isinstance(await asyncio.wait_for(refused, 5), NoInstance)
    assert not waits.done()
    assert list(router.waiting.counts().values()) == [1]
    stuck.end_one(Outcome(b"one"))
    await asyncio.wait_for(stuck.came.acquire(), 5)
    stuck.end_one(Outcome(b"two"))
    assert (await served, await waits) == (b"one", b"two")
    gives_up = [asyncio.ensure_future(call(router)) for _ in range(2)]
    await asyncio.sleep(0)
    gives_up[1].cancel()
    await asyncio.sleep(0)
    assert not router.waiting.counts()


@pytest.mark.anyio
async def test_a_peer_s_call_beyond_the_limit_did_not_start() -> None:
    stuck = StuckChannel()
    router = await routed(stuck, limit=1)
    told: list[tuple[int, str, int]] = []

    class Peer:
        peer = "n2"

        def send_nack(self, call_id: int, reason: str, retry_after_ms: int) -> None:
            told.append((call_id, reason, retry_after_ms))

    for call_id in (1, 2):
        context = CallContext.root(router.time_s() + 5)
        router.take_peer_call(IncomingCall(Peer(), call_id, "tea/brew", b"", context, 1, False))  # type: ignore[arg-type]
    assert stuck.calls == 1
    assert told == [(2, "that instance is full: 1 calls", RETRY_AFTER_MS)]


@pytest.mark.anyio
async def test_calls_that_end_after_a_new_table_are_counted_out() -> None:
    stuck = StuckChannel()
    router = await routed(stuck, limit=2)
    calls = [asyncio.ensure_future(call(router)) for _ in range(2)]
    await asyncio.sleep(0)
    row = router._by_slice["tea"][0].row
    await router.apply(RoutingTable(revision=2, node="n1", instances=(msgspec.structs.replace(row, weight=7),)))
    for _ in calls:
        stuck.end_one(Outcome(b"done"))
    await asyncio.gather(*calls)
    assert (router._by_slice["tea"][0].row.weight, router._by_slice["tea"][0].in_flight) == (7, 0)


@pytest.mark.anyio
async def test_versions_share_calls_by_weight_not_by_number_of_instances() -> None:
    old = [ScriptedChannel(b"old") for _ in range(3)]
    new = ScriptedChannel(b"new")
    router = await routed(*old, new, weights=(100, 100, 100, 100), versions=("1", "1", "1", "2"))
    answers = [await call(router) for _ in range(600)]
    assert 200 < answers.count(b"new") < 400


@pytest.mark.anyio
async def test_a_version_of_weight_zero_gets_no_calls() -> None:
    old, new = ScriptedChannel(b"old"), ScriptedChannel(b"new")
    router = await routed(old, new, weights=(100, 0), versions=("1", "2"))
    assert {await call(router) for _ in range(50)} == {b"old"}


@pytest.mark.anyio
async def test_a_table_that_replaces_another_keeps_what_is_known_of_instances() -> None:
    channel = ScriptedChannel(b"done")
    router = await routed(channel)
    await call(router)
    before = router._by_slice["tea"][0]
    before.in_flight = 3
    row = before.row
    await router.apply(RoutingTable(revision=2, node="n1", instances=(row,)))
    assert router._by_slice["tea"][0].in_flight == 3


@pytest.mark.anyio
async def test_a_call_to_a_slice_that_rests_waits_for_the_instance_that_it_brings() -> None:
    """That it waits is what control hears of; a refusal would make every first caller try again."""
    channel = ScriptedChannel(b"done")
    router = await routed(channel)
    row = router._by_slice["tea"][0].row
    await router.apply(RoutingTable(revision=2, node="n1", resting=(RestingRow("tea", "1"),)))
    asked = asyncio.ensure_future(call(router))
    await asyncio.sleep(0)
    assert router.waiting.counts() == {"tea": 1}
    await router.apply(RoutingTable(revision=3, node="n1", instances=(row,), resting=(RestingRow("tea", "1"),)))
    router._by_slice["tea"][0].channel = channel
    assert await asked == b"done"
    assert not router.is_resting("tea/brew")


@pytest.mark.anyio
async def test_a_call_to_a_slice_that_rests_is_refused_within_its_deadline_and_may_be_made_again() -> None:
    router = await routed(ScriptedChannel(b"done"))
    await router.apply(RoutingTable(revision=2, node="n1", resting=(RestingRow("tea", "1"),)))
    with pytest.raises(NoInstance) as refused:
        await router.call("tea/brew", b"", deadline_s=0.05)
    assert (refused.value.retryable, refused.value.retry_after_ms) == (True, 1_000)
    with pytest.raises(NoInstance, match="is active"):  # one that is deployed nowhere wakes nobody
        await router.call("coffee/brew", b"", deadline_s=0.05)


def backend(node: str, *, local: bool = False, in_flight: int = 0, latency_s: float = 0.001) -> Backend:
    made = Backend(InstanceRow("tea", "1", node, 1), ScriptedChannel(b""), local=local)
    made.in_flight, made.latency_s = in_flight, latency_s
    return made


def test_the_local_instance_comes_first() -> None:
    near, far = backend("n1", local=True, in_flight=5), backend("n2")
    assert choose([far, near], now_s=0, random=lambda: 0.5) is near


@given(st.lists(st.floats(0.0001, 1.0), min_size=2, max_size=8), st.floats(0, 0.999), st.floats(0, 0.999))
def test_of_two_candidates_the_less_loaded_is_taken(loads: list[float], one: float, other: float) -> None:
    """With two choices the worst instance is never taken, unless all are equal."""
    backends = [backend(f"n{at}", latency_s=load) for at, load in enumerate(loads)]
    draws = iter([one, other])
    chosen = choose(backends, now_s=0, random=lambda: next(draws))
    assert chosen is not None
    assert chosen.load() < max(loads) or loads.count(max(loads)) > 1


def test_a_slow_answer_counts_at_once_and_is_forgotten_slowly() -> None:
    one = backend("n1")
    one.answered(0.5, now_s=1.0)
    assert one.latency_s == 0.5
    one.answered(0.001, now_s=2.0)
    assert 0.4 < one.latency_s < 0.5
    one.answered(0.001, now_s=60.0)
    assert one.latency_s < 0.01


@given(st.integers(0, 300), st.floats(0, 3))
def test_retries_stay_within_a_fifth_of_calls_and_the_trickle(calls: int, seconds: float) -> None:
    budget = RetryBudget(0.0)
    for _ in range(calls):
        budget.deposit()
    granted = sum(budget.withdraw(seconds) for _ in range(1_000))
    assert granted <= 10 + calls * 0.2 + seconds * 10 + 1


@given(st.lists(st.booleans(), max_size=60))
def test_never_more_than_half_of_the_instances_are_out(outcomes: list[bool]) -> None:
    """With more than half gone, trying beats refusing."""
    ejections = [Ejection() for _ in range(4)]
    for at, failed in enumerate(outcomes):
        one = ejections[at % 4]
        out = sum(each.is_out(1.0) for each in ejections)
        one.failed(1.0, out=out, instances=4) if failed else one.succeeded()
        assert sum(each.is_out(1.0) for each in ejections) <= 2


def test_each_ejection_lasts_longer_until_the_instance_answers() -> None:
    ejection = Ejection()
    lengths = []
    now_s = 0.0
    for _ in range(3):
        for _ in range(FAILURES_MAX):
            ejection.failed(now_s, out=0, instances=4)
        until_s = next(now_s + step / 10 for step in range(1, 400) if not ejection.is_out(now_s + step / 10))
        lengths.append(until_s - now_s)
        now_s = until_s
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]
    ejection.succeeded()
    assert not ejection.is_out(now_s)


def test_a_child_keeps_trace_request_and_deadline_and_has_a_span_of_its_own() -> None:
    parent = CallContext(
        deadline=9.0, trace_id=b"t" * 16, span_id=b"s" * 8, sampled=True, request_id="r", principal="p"
    )
    child = parent.child()
    assert (child.trace_id, child.request_id, child.deadline, child.sampled) == (b"t" * 16, "r", 9.0, True)
    assert child.span_id != parent.span_id
    assert child.parent_id == parent.span_id
