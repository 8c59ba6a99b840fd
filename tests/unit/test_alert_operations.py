"""What people and other systems may do about alerts, what is refused and why, and what is answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controllers.gate.making import MakingGate
from runtime.operations.actor import Role
from runtime.operations.alerts.handling import SILENCES_MAX
from runtime.operations.alerts.incoming import EXTERNAL_MAX, HEARD_AGAIN_MS
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.queries.alerts import (
    AlertPage,
    AlertRoutePage,
    AlertShown,
    ReceiverPage,
    RulePage,
    SilencePage,
)
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import AlertThreshold
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.records import Alert, ReceiverTrouble, Silence, Told
from tests.unit.answer_parts import AnswersOnHand
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand, person, plain

pytestmark = pytest.mark.anyio

ADMIN = person("cleo", Role.ADMIN)


async def on_hand() -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    return hand


async def ask(hand: GateOnHand, operation: str, **members: object) -> Outcome:
    gate = MakingGate(hand.gate, hand.clock)  # type: ignore[arg-type]  # votes are asked elsewhere
    return await gate.submit(Submission(operation=operation, request=members, actor=ADMIN))


async def done(hand: GateOnHand, operation: str, **members: object) -> Applied:
    found = await ask(hand, operation, **members)
    assert isinstance(found, Applied), found
    return found


def lasting(fingerprint: str = "a" * 16, **members: Any) -> Alert:
    labels = {"alertname": "SliceSlow", "severity": "critical", "subject": "slice:orders", "slice": "orders"}
    alert = Alert(fingerprint=fingerprint, group_key="g", labels=labels, starts_unix_ms=5, fired_unix_ms=9)
    return msgspec.structs.replace(alert, **members)


@pytest.mark.parametrize(
    ("members", "code", "hint"),
    [
        ({"name": "NodeDiskFul", "warning": 0.5}, "rule_invalid", "NodeDiskFull"),
        ({"name": "New", "kind": "node", "warning": 1}, "rule_invalid", "metric"),
        ({"name": "New", "kind": "node", "metric": "disk_shar", "warning": 0.5}, "metric_unknown", "disk_share"),
        ({"name": "New", "kind": "node", "metric": "p99_ms", "warning": 5}, "metric_unknown", "slice"),
        ({"name": "New", "kind": "node", "metric": "disk_share"}, "rule_invalid", "neither"),
        ({"name": "New", "kind": "node", "metric": "disk_share", "warning": 1}, "rule_invalid", "never above 1"),
        ({"name": "NodeDiskFull", "drop": ["warning", "critical"]}, "rule_invalid", "neither"),
        ({"name": "NodeDiskFull", "warning": 0.99}, "rule_invalid", "before"),
        ({"name": "NodeDiskFull", "warning_ends": 0.9}, "rule_invalid", "warning_ends"),
        ({"name": "NodeDiskFull", "warning_ends": -0.1}, "rule_invalid", "never end"),
        ({"name": "CertificateEnds", "critical_ends": 5}, "rule_invalid", "critical_ends"),
        ({"name": "NodeDiskFull", "subject": "slice:orders", "warning": 0.5}, "rule_invalid", "no node"),
        ({"name": "NodeDiskFull", "subject": "node:n9", "warning": 0.5}, "node_not_found", "n1"),
        ({"name": "StoreFills", "subject": "store:n9", "warning": 0.5}, "node_not_found", "n1"),
        ({"name": "SliceSlow", "subject": "slice:order", "warning": 0.5}, "slice_not_found", "orders"),
        ({"name": "SliceSlow", "also": ["p98_ms"]}, "metric_unknown", "p99_ms"),
        ({"name": "ThresholdPassed", "kind": "slice", "metric": "p99_ms", "warning": 5}, "rule_invalid", "threshold"),
    ],
)
async def test_a_rule_that_would_tell_nothing_or_for_ever_is_refused(
    members: dict[str, object], code: str, hint: str
) -> None:
    hand = await on_hand()
    found = await ask(hand, "alert.set-rule", **members)
    assert isinstance(found, Refused)
    assert (found.code, hint in found.detail) == (code, True), found.detail
    assert not hand.state.items(keys.ALERT_RULES)


async def test_a_rule_is_changed_member_by_member_and_a_built_in_one_comes_back() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    moved = await done(hand, "alert.set-rule", name="NodeDiskFull", warning=0.7)
    assert moved.result["rule"]["warning_ends"] == 0.675294118  # type: ignore[index]  # as 0.82 is to 0.85
    await done(hand, "alert.set-rule", name="NodeDiskFull", state="off")
    await done(hand, "alert.set-rule", name="NodeDiskFull", subject="node:n2", state="on", for_s=7)
    await hand.put(keys.alert_threshold("orders", "p99_ms"), AlertThreshold(bound=50.0, for_s=10))
    page = await asked.ask("alert.rules", ADMIN)
    assert isinstance(page, RulePage)
    rows = {(row.name, row.subject): row for row in page.items}
    general, own = rows["NodeDiskFull", ""], rows["NodeDiskFull", "node:n2"]
    assert (general.warning, general.critical, general.enabled, general.source) == (0.7, 0.95, False, "set")
    assert (own.warning, own.for_s, own.enabled) == (0.7, 7, True)
    assert rows["SliceSlow", ""].source == "builtin"
    assert rows["ThresholdPassed", "slice:orders"].source == "threshold"
    gone = await done(hand, "alert.unset-rule", name="NodeDiskFull")
    assert gone.result["is_builtin"]
    refused = await ask(hand, "alert.unset-rule", name="NodeDiskFull")
    assert isinstance(refused, Refused)
    assert "built in" in refused.detail


async def test_who_takes_an_alert_on_is_told_and_cannot_be_made_up() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    await hand.put(keys.alert("a" * 16), lasting())
    await hand.put(keys.alert("b" * 16), lasting("b" * 16, ends_unix_ms=9))
    await done(hand, "alert.ack", fingerprint="a" * 16, why="on it", signed_by="ben")
    page = await asked.ask("alert.list", ADMIN)
    assert isinstance(page, AlertPage)
    (row,) = page.items
    assert (row.state, row.acknowledged_by, row.acknowledged_why) == ("acknowledged", "cleo", "on it")
    await done(hand, "alert.unack", fingerprint="a" * 16)
    for fingerprint in ("b" * 16, "c" * 16):
        refused = await ask(hand, "alert.ack", fingerprint=fingerprint)
        assert isinstance(refused, Refused)
        assert refused.code == "alert_not_found"


async def test_a_silence_says_who_why_until_when_and_what_it_keeps_back() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    await hand.put(keys.alert("a" * 16), lasting())
    made = await done(hand, "alert.silence", name="sale", matchers=["slice=orders"], minutes=5, why="sale")
    assert made.result == {"name": "sale", "until_unix_ms": START_UNIX_MS + 300_000, "alerts": 1}
    silences, alerts = await asked.ask("alert.silences", ADMIN), await asked.ask("alert.list", ADMIN)
    assert isinstance(silences, SilencePage)
    assert isinstance(alerts, AlertPage)
    assert [(row.name, row.by, row.why, row.alerts) for row in silences.items] == [("sale", "cleo", "sale", 1)]
    assert [(row.state, row.muted_by) for row in alerts.items] == [("muted", "silence:sale")]
    hand.clock.now_ms += 300_000
    again = await asked.ask("alert.list", ADMIN, severity="critical", slice="orders")
    assert isinstance(again, AlertPage)
    assert [row.state for row in again.items] == ["firing"]


@pytest.mark.parametrize("matchers", [[], ["severity"], ["severity=~(a+)+"]])
async def test_a_silence_of_everything_or_of_nothing_that_can_be_read_is_refused(matchers: list[str]) -> None:
    hand = await on_hand()
    refused = await ask(hand, "alert.silence", name="all", matchers=matchers)
    assert isinstance(refused, Refused)
    assert refused.code == "matcher_invalid"


async def test_silences_are_limited() -> None:
    hand = await on_hand()
    for number in range(SILENCES_MAX):
        await hand.put(keys.alert_silence(f"s{number}"), Silence(matchers=("a=b",), until_unix_ms=1, created_unix_ms=0))
    refused = await ask(hand, "alert.silence", name="more", matchers=["a=b"])
    assert isinstance(refused, Refused)
    assert refused.code == "too_many_silences"


WEBHOOK = {"name": "hook", "kind": "webhook", "url": "https://hook.test/secret-path"}
MAIL = {"name": "mail", "kind": "email", "server": "mail.test:25", "sender": "a@x.test", "to": ["b@x.test"]}


@pytest.mark.parametrize(
    "members",
    [
        {**WEBHOOK, "url": "ftp://hook.test"},
        {**WEBHOOK, "url": ""},
        {**WEBHOOK, "url": "https://user:canary@hook.test/"},
        {**WEBHOOK, "url": "https://hook.test/\r\nX: y"},
        {**WEBHOOK, "url": "https://hook.test:99999/"},
        {**WEBHOOK, "url": "env:PATH"},
        {**WEBHOOK, "auth": "bearer", "secret": "canary"},
        {**WEBHOOK, "auth": "bearer"},
        {**WEBHOOK, "auth": "hmac", "secret": "file:../admin.key"},
        {**WEBHOOK, "auth": "hmac", "secret": "env:HOME"},
        {**WEBHOOK, "url": "http://hook.test/", "auth": "bearer", "secret": "file:token"},
        {**WEBHOOK, "authority": "env:AETHER_ALERT_CA"},
        {**MAIL, "server": "mail.test"},
        {**MAIL, "to": []},
        {**MAIL, "to": ["b@x.test\nBcc: c@x.test"]},
        {**MAIL, "username": "u"},
        {**MAIL, "username": "u", "password": "canary"},
        {**MAIL, "username": "u", "password": "file:p", "tls": "none"},
    ],
)
async def test_a_receiver_that_could_take_nothing_or_give_a_secret_away_is_refused(members: dict[str, object]) -> None:
    hand = await on_hand()
    refused = await ask(hand, "alert.set-receiver", **members)
    assert isinstance(refused, Refused)
    assert refused.code == "receiver_invalid"
    assert "canary" not in repr(refused)
    assert not any("canary" in plain(item) for item in hand.state.items(keys.ALERT_RECEIVERS))


async def test_lists_of_receivers_tell_neither_paths_nor_secrets_and_whether_they_take_what_is_sent() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    await done(hand, "alert.set-receiver", **WEBHOOK, auth="hmac", secret="file:hook-key")
    await done(hand, "alert.set-receiver", **MAIL)
    await hand.put(keys.alert_trouble("mail"), ReceiverTrouble(since_unix_ms=3, attempts=2, error="refused"))
    page = await asked.ask("alert.receivers", ADMIN)
    assert isinstance(page, ReceiverPage)
    assert [(row.name, row.where, row.secret, row.trouble) for row in page.items] == [
        ("hook", "hook.test", "file:hook-key", ""),
        ("mail", "b@x.test by mail.test:25", "", "refused"),
    ]
    assert "secret-path" not in repr(page)


async def test_who_has_a_receiver_tried_can_wait_for_what_comes_of_it() -> None:
    hand = await on_hand()
    refused = await ask(hand, "alert.test-receiver", name="hook")
    assert isinstance(refused, Refused)
    assert refused.code == "receiver_not_found"
    await done(hand, "alert.set-receiver", **WEBHOOK)
    await done(hand, "alert.test-receiver", name="hook")
    operation = hand.desk.catalogue.change("alert.test-receiver")
    request = operation.request(name="hook")  # type: ignore[call-arg]
    asked = AnswersOnHand(hand)
    for state, error, converged, shown in (
        ("wanted", "", False, "wanted"),
        ("failed", "answered 401", False, "answered 401"),
        ("taken", "", True, "taken"),
    ):
        known = kept.tests(hand.state)["hook"]
        assert (known.by, known.at_unix_ms) == ("cleo", START_UNIX_MS)
        await hand.put(keys.alert_test("hook"), msgspec.structs.replace(known, state=state, error=error))
        assert operation.converged(PlanState(hand.state), request).done is converged
        page = await asked.ask("alert.receivers", ADMIN)
        assert isinstance(page, ReceiverPage)
        assert page.items[0].tested == shown


async def test_a_route_names_receivers_that_there_are() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    refused = await ask(hand, "alert.set-route", name="grave", receivers=["hok"])
    assert isinstance(refused, Refused)
    assert refused.code == "receiver_not_found"
    await done(hand, "alert.set-receiver", **WEBHOOK)
    await done(hand, "alert.set-route", name="grave", receivers=["hook"], matchers=["severity=critical"], then="go-on")
    page = await asked.ask("alert.routes", ADMIN)
    assert isinstance(page, AlertRoutePage)
    assert [(row.name, row.goes_on) for row in page.items] == [("grave", True), ("default", False)]


async def test_the_last_route_stays_last_and_leaves_alone_what_came_from_outside_unless_it_is_said_otherwise() -> None:
    hand = await on_hand()
    for members, wanted in (
        ({"repeat_s": 60}, (10_000, ("origin!=external",))),
        ({"order": 7, "matchers": []}, (7, ())),
    ):
        await done(hand, "alert.set-route", name="default", **members)
        route = kept.routes(hand.state)["default"]
        assert (route.order, route.matchers) == wanted


async def test_one_alert_is_shown_with_who_was_told() -> None:
    hand = await on_hand()
    asked = AnswersOnHand(hand)
    await hand.put(keys.alert("a" * 16), lasting())
    for name, starts in (("old", 1), ("pager", 5)):
        told = Told(group_key="g", receiver=name, number=1, at_unix_ms=0, firing={"a" * 16: starts})
        await hand.put(keys.alert_told(name), told)
    found = await asked.ask("alert.show", ADMIN, fingerprint="a" * 16)
    assert isinstance(found, AlertShown)
    assert (found.alert.name, found.told) == ("SliceSlow", ("pager",))


# -- from outside ------------------------------------------------------------------------------------------------------

T1, T2 = "2026-01-01T00:00:00.5Z", "2026-01-01T01:00:00+01:00"
OVER = {"status": "resolved", "endsAt": "2026-01-01T00:05:00Z"}


def sent(**members: object) -> dict[str, object]:
    labels = {"alertname": "Far", "severity": "critical"}
    return {"status": "firing", "labels": labels, "startsAt": T1, "fingerprint": "f", **members}


async def receive(hand: GateOnHand, *alerts: dict[str, object], group: str = "g") -> tuple[int, int, int]:
    """How many fired, ended and were known."""
    found = await done(hand, "alert.receive", groupKey=group, version="4", alerts=list(alerts), unknownToUs=1)
    return found.result["fired"], found.result["ended"], found.result["known"]  # type: ignore[return-value]


def external(hand: GateOnHand) -> list[Alert]:
    return [each.alert for each in kept.alerts(hand.state)]


async def test_what_alertmanager_tells_twice_late_or_out_of_order_happens_once() -> None:
    hand = await on_hand()
    assert await receive(hand, sent()) == (1, 0, 0)
    assert await receive(hand, sent()) == (0, 0, 1)
    assert await receive(hand, sent(startsAt=T2)) == (0, 0, 1)  # half a second before the one that is known
    assert await receive(hand, sent(**OVER)) == (0, 1, 0)
    assert await receive(hand, sent(**OVER)) == (0, 0, 1)
    assert await receive(hand, sent()) == (0, 0, 1)  # its beginning, told after its end
    (alert,) = external(hand)
    assert (alert.origin, alert.lasts, alert.ends_unix_ms) == ("external", False, 1_767_225_900_000)
    assert await receive(hand, sent(startsAt="2026-01-01T02:00:00Z")) == (1, 0, 0)
    assert await receive(hand, sent(**OVER)) == (0, 0, 1)  # of its time before
    assert [each.lasts for each in external(hand)] == [True]


async def test_an_end_of_what_nobody_knew_is_no_alert() -> None:
    hand = await on_hand()
    assert await receive(hand, sent(**OVER)) == (0, 0, 1)
    assert external(hand) == []


async def test_alerts_of_two_groups_and_of_two_labels_are_two() -> None:
    hand = await on_hand()
    other = sent(fingerprint="", labels={"alertname": "Near"})
    assert await receive(hand, sent(), other, sent()) == (2, 0, 0)
    assert await receive(hand, sent(), group="h") == (1, 0, 0)
    assert {each.group_key for each in external(hand)} == {"g", "h"}


async def test_that_an_alert_is_told_again_is_noted_now_and_then() -> None:
    """It ends by itself when nothing is heard of it for a day; noting each word would fill the audit."""
    hand = await on_hand()
    await receive(hand, sent())
    hand.clock.now_ms += HEARD_AGAIN_MS - 1
    await receive(hand, sent())
    assert external(hand)[0].heard_unix_ms == START_UNIX_MS
    hand.clock.now_ms += 1
    await receive(hand, sent())
    assert external(hand)[0].heard_unix_ms == START_UNIX_MS + HEARD_AGAIN_MS


async def test_a_flood_from_outside_leaves_room_for_the_clusters_own() -> None:
    hand = await on_hand()
    raw = lasting(origin="external")
    for number in range(EXTERNAL_MAX):
        await hand.put(keys.alert(f"{number:016}"), raw)
    refused = await ask(hand, "alert.receive", groupKey="g", alerts=[sent()])
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == ("too_many_alerts", True)
