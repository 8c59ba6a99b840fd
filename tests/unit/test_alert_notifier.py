"""The leader tells receivers and notes it in the store: once, again after a failure, and whoever leads."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from runtime.consensus.store import Delete, Revision
from runtime.errors import RuntimeFault
from runtime.state import keys
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.grouping import Notification
from runtime.telemetry.alerts.notifier import Notifier
from runtime.telemetry.alerts.records import Alert, Receiver, ReceiverTest, Route
from runtime.telemetry.alerts.sending import NotDelivered
from runtime.telemetry.exposition import Exposition
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand

pytestmark = pytest.mark.anyio

ALERT = Alert(
    fingerprint="a" * 16,
    group_key="g",
    labels={"alertname": "NodeDiskFull", "subject": "node:n1"},
    starts_unix_ms=START_UNIX_MS,
    fired_unix_ms=START_UNIX_MS,
)
PAGER = Receiver(kind="webhook", url="https://pager.test")


class Told:
    """Receivers named `pager` and `mail`; those in `broken` take nothing."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.sent: list[tuple[str, str]] = []
        self.broken: dict[str, str] = {}
        self.notifier = self.other_leader()

    def other_leader(self) -> Notifier:
        hand = self.hand
        return Notifier(
            store=hand.store,
            state=hand.state,
            arrived=hand.state.wait_for,
            send=self.send,
            clock=hand.clock,
            log=hand.log,
        )

    def send(self, notification: Notification, _receiver: Receiver) -> None:
        if notification.receiver in self.broken:
            raise NotDelivered(self.broken[notification.receiver])
        self.sent.append((notification.receiver, notification.key))

    async def begin(self) -> None:
        for name in ("mail", "pager"):
            await self.hand.put(keys.alert_receiver(name), PAGER)
        await self.hand.put(keys.alert_route("default"), Route(group_wait_s=0, group_interval_s=5, repeat_s=100))
        await self.hand.put(keys.alert(ALERT.fingerprint), ALERT)

    async def second(self, *, notes: bool = True) -> list[str]:
        """What was sent within a second, by receiver. notes: False is a leader that died before it could note it."""
        before = len(self.sent)
        fence = self.hand.fence() or Revision(0)
        for notification, receiver in self.notifier.waiting():
            await self.notifier.tell(notification, receiver, fence if notes else Revision(fence + 1))
        await self.notifier.forget(fence)
        self.hand.clock.now_ms += 1_000
        return [name for name, _ in self.sent[before:]]


async def told() -> Told:
    found = Told()
    await found.begin()
    return found


async def test_each_receiver_is_told_once_and_of_the_end_once() -> None:
    at = await told()
    assert [await at.second() for _ in range(7)] == [["mail", "pager"], *([[]] * 6)]
    await at.hand.put(keys.alert(ALERT.fingerprint), msgspec.structs.replace(ALERT, ends_unix_ms=START_UNIX_MS + 1))
    assert [await at.second() for _ in range(3)] == [["mail", "pager"], [], []]
    assert not at.hand.state.items(keys.ALERTS_TOLD)


async def test_a_leader_that_died_before_it_noted_what_it_sent_has_it_sent_again_under_the_same_key() -> None:
    """At least once, and whoever gets it twice can tell."""
    at = await told()
    assert await at.second(notes=False) == ["mail", "pager"]
    at.notifier = at.other_leader()
    assert await at.second() == ["mail", "pager"]
    assert at.sent[:2] == at.sent[2:]
    assert await at.second() == []


async def test_another_leader_repeats_nothing_and_forgets_nothing() -> None:
    at = await told()
    await at.second()
    at.notifier = at.other_leader()
    assert [await at.second() for _ in range(5)] == [[]] * 5
    at.hand.clock.now_ms += 100_000
    assert await at.second() == ["mail", "pager"]
    assert at.sent[0] != at.sent[2]


async def test_a_receiver_that_takes_nothing_is_tried_ever_more_seldom_and_keeps_no_other_waiting() -> None:
    at = await told()
    at.broken = {"pager": "pager: the webhook answered 500"}
    assert await at.second() == ["mail"]
    tried = []
    for second in range(1, 60):
        before = at.notifier.counts["pager", "failed"]
        await at.second()
        tried += [second] if at.notifier.counts["pager", "failed"] > before else []
    assert tried == [1, 3, 8, 18, 48]
    (trouble,) = kept.troubles(at.hand.state).values()
    assert (trouble.error, trouble.attempts) == ("pager: the webhook answered 500", 2)
    at.broken = {}
    at.hand.clock.now_ms += 60_000
    assert "pager" in await at.second()
    assert not kept.troubles(at.hand.state)


async def test_one_failure_is_no_trouble_yet() -> None:
    at = await told()
    at.broken = {"pager": "refused"}
    await at.second()
    at.broken = {}
    await at.second()
    assert at.sent[-1][0] == "pager"
    assert not at.hand.state.items(keys.ALERT_TROUBLES)


async def test_what_lasts_and_what_was_sent_is_counted_for_prometheus() -> None:
    at = await told()
    at.broken = {"mail": "refused"}
    await at.second()
    text = Exposition(tuple, lambda: None, lambda: at.notifier).text().decode()
    assert 'runtime_alerts{alertname="NodeDiskFull",origin="rule",severity=""} 1.0' in text
    assert 'runtime_alert_notifications_total{outcome="failed",receiver="mail"} 1.0' in text
    assert 'runtime_alert_notifications_total{outcome="sent",receiver="pager"} 1.0' in text


async def test_who_does_not_lead_any_more_notes_nothing_and_does_not_send_the_same_each_second() -> None:
    at = await told()
    assert [len(await at.second(notes=False)) for _ in range(5)] == [2, 2, 0, 2, 0]
    assert not at.hand.state.items(keys.ALERTS_TOLD)


async def test_a_receiver_is_tried_when_somebody_wants_to_know_and_what_came_of_it_is_noted() -> None:
    at = await told()
    fence = at.hand.fence() or Revision(0)
    await at.second()
    found = {}
    for broken in ({}, {"pager": "pager: the webhook answered 401"}):
        at.broken = broken
        await at.hand.put(keys.alert_test("pager"), ReceiverTest(at_unix_ms=at.hand.clock.unix_ms(), by="anna"))
        (name,) = at.notifier.wanted_tests()
        await at.notifier.try_out(name, Revision(fence + 1))
        assert at.notifier.wanted_tests() == ["pager"], "who does not lead notes nothing"
        await at.notifier.try_out(name, fence)
        assert at.notifier.wanted_tests() == []
        test = kept.tests(at.hand.state)["pager"]
        found[test.state] = test.error
    assert found == {"taken": "", "failed": "pager: the webhook answered 401"}
    assert not kept.troubles(at.hand.state), "a test is no trouble of alerts"
    await at.hand.store.txn((), [Delete(key=keys.alert_receiver("pager"))])
    await at.second()
    assert not kept.tests(at.hand.state)


async def test_a_mistake_in_sending_ends_no_service_of_the_leader() -> None:
    at = await told()

    def send(_notification: Notification, _receiver: Receiver) -> None:
        raise KeyError("canary")

    at.notifier._send = send
    ((notification, receiver), _) = at.notifier.waiting()
    await at.notifier._guarded("mail", at.notifier.tell, notification, receiver, at.hand.fence())
    assert [each.receiver for each, _ in at.notifier.waiting()] == ["pager"]
    (line,) = [line for line in at.hand.log.lines if line.event == "notification_not_noted"]
    assert line.fields["reason"] == "KeyError", "what was sent may hold what nobody shall read"


async def test_what_is_known_of_a_receiver_goes_with_it() -> None:
    at = await told()
    at.broken = {"pager": "refused"}
    for _ in range(3):
        await at.second()
    await at.hand.store.txn((), [Delete(key=keys.alert_receiver(name)) for name in ("mail", "pager")])
    await at.second()
    assert not at.hand.state.items(keys.ALERTS_TOLD)
    assert not at.hand.state.items(keys.ALERT_TROUBLES)


async def test_the_service_sends_in_threads_until_leadership_ends() -> None:
    at = await told()
    fence = at.hand.fence()
    assert fence is not None
    told_of = anyio.Event()
    loop_token = anyio.lowlevel.current_token()

    def send(notification: Notification, _receiver: Receiver) -> None:
        at.sent.append((notification.receiver, notification.key))
        if len(at.sent) == 2:
            anyio.from_thread.run_sync(told_of.set, token=loop_token)

    at.notifier._send = send
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at.notifier.run, fence)
        with anyio.fail_after(5):
            await told_of.wait()
        tasks.cancel_scope.cancel()
    assert sorted(name for name, _ in at.sent) == ["mail", "pager"]


def test_what_is_not_delivered_may_be_tried_again() -> None:
    assert issubclass(NotDelivered, RuntimeFault)
    assert NotDelivered.retryable
