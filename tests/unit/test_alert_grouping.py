"""Who is told of which alerts, when and how often; what is silenced or implied; another leader decides alike."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.telemetry.alerts.grouping import (
    DEFAULT_ROUTE,
    Notification,
    awaited,
    due,
    forgotten,
    groups_of,
    routed,
)
from runtime.telemetry.alerts.labels import MatcherInvalid, fingerprint_of, fits, matcher_of
from runtime.telemetry.alerts.muting import SLICES, TOGETHER_MS, inhibits, muted
from runtime.telemetry.alerts.records import Acknowledgement, Alert, Receiver, Route, Silence, Told

ROUTE = Route(group_wait_s=10, group_interval_s=60, repeat_s=600)
PAGER = Receiver(kind="webhook", url="https://pager.test")


def alert(name: str = "NodeDiskFull", subject: str = "node:n1", severity: str = "warning", at_s: int = 0) -> Alert:
    kind, _, of = subject.partition(":")
    labels = {"alertname": name, "subject": subject, "severity": severity, kind: of}
    return Alert(
        fingerprint=fingerprint_of(labels),
        group_key=name,
        labels=labels,
        starts_unix_ms=at_s * 1_000,
        fired_unix_ms=at_s * 1_000,
    )


def ended(one: Alert, at_s: int) -> Alert:
    return msgspec.structs.replace(one, ends_unix_ms=at_s * 1_000)


class Pager:
    """One receiver and one route, second by second; it takes all that it is told."""

    def __init__(self, route: Route = ROUTE, receiver: Receiver = PAGER) -> None:
        self.route, self.receiver = route, receiver
        self.alerts: dict[str, Alert] = {}
        self.silences: dict[str, Silence] = {}
        self.told: dict[tuple[str, str], Told] = {}

    def put(self, *alerts: Alert) -> None:
        self.alerts |= {each.fingerprint: each for each in alerts}

    def asked(self, at_s: int) -> list[Notification]:
        groups = groups_of(self.alerts.values(), {"default": self.route}, ["pager"])
        reasons = muted(self.alerts.values(), self.silences, at_s * 1_000)
        receivers = {"pager": self.receiver}
        return due(groups, receivers, self.told, lambda one: one.fingerprint in reasons, at_s * 1_000)

    def until(self, seconds: range) -> list[tuple[int, int, int]]:
        """When something was told: the second, how many last, how many ended."""
        found = []
        for at_s in seconds:
            for each in self.asked(at_s):
                found.append((at_s, len(each.firing), len(each.ended)))
                self.told[each.group.key, each.receiver] = each.told
            for place in forgotten(self.told, self.alerts, {"pager": self.receiver}):
                del self.told[place]
        return found


def test_the_first_word_waits_for_others_what_changes_follows_and_what_stays_is_repeated() -> None:
    pager = Pager()
    pager.put(alert(), alert(subject="node:n2", at_s=5))
    assert pager.until(range(60)) == [(10, 2, 0)]
    pager.put(alert(subject="node:n3", at_s=60))
    assert pager.until(range(60, 700)) == [(70, 3, 0), (670, 3, 0)]


def test_who_was_told_that_it_began_is_told_once_that_it_ended() -> None:
    pager = Pager()
    pager.put(alert(), alert(subject="node:n2"))
    pager.until(range(20))
    pager.put(ended(alert(), 30))
    assert pager.until(range(30, 200)) == [(70, 1, 1)]
    pager.put(ended(alert(subject="node:n2"), 200))
    assert pager.until(range(200, 2_000)) == [(200, 0, 1)]
    assert not pager.told


def test_nobody_is_told_of_what_is_over_before_its_group_is_told() -> None:
    pager = Pager()
    pager.put(ended(alert(), 5))
    assert pager.until(range(100)) == []


def test_a_receiver_may_do_without_ends() -> None:
    pager = Pager(receiver=msgspec.structs.replace(PAGER, tells_ends=False))
    pager.put(alert())
    assert pager.until(range(20)) == [(10, 1, 0)]
    pager.put(ended(alert(), 30))
    assert pager.until(range(30, 2_000)) == []
    assert not pager.told


def test_what_begins_again_is_told_again() -> None:
    pager = Pager()
    pager.put(alert())
    pager.until(range(20))
    pager.put(alert(at_s=40))
    assert pager.until(range(40, 100)) == [(70, 1, 0)]


def test_what_somebody_has_taken_on_is_not_repeated_but_its_end_is_told() -> None:
    pager = Pager()
    pager.put(alert())
    pager.until(range(20))
    pager.put(msgspec.structs.replace(alert(), acknowledged=Acknowledgement(by="anna", why="", at_unix_ms=20_000)))
    assert pager.until(range(20, 5_000)) == []
    pager.put(ended(alert(), 5_000))
    assert pager.until(range(5_000, 5_100)) == [(5_000, 0, 1)]


def test_a_silence_keeps_back_the_beginning_until_it_is_over_and_never_the_end() -> None:
    pager = Pager()
    pager.silences["deploy"] = Silence(matchers=("node=n1",), until_unix_ms=100_000, created_unix_ms=0)
    pager.put(alert())
    assert pager.until(range(150)) == [(100, 1, 0)]
    pager.silences["deploy"] = Silence(matchers=("node=n1",), until_unix_ms=900_000, created_unix_ms=0)
    assert pager.until(range(150, 800)) == []
    pager.put(ended(alert(), 800))
    assert pager.until(range(800, 900)) == [(800, 0, 1)]


def test_the_end_of_what_was_silenced_after_it_was_told_is_told_though_others_were_told_of_meanwhile() -> None:
    pager = Pager()
    pager.put(alert())
    pager.until(range(20))
    pager.silences["n1"] = Silence(matchers=("node=n1",), until_unix_ms=9_000_000, created_unix_ms=0)
    pager.put(alert(subject="node:n2", at_s=100))
    assert pager.until(range(100, 200)) == [(100, 1, 0)]
    pager.put(ended(alert(), 200))
    assert pager.until(range(200, 300)) == [(200, 1, 1)]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(("fire", "end", "wait", "sent twice")), max_size=40))
def test_whatever_happens_a_receiver_knows_in_the_end_what_lasts(history: list[str]) -> None:
    """Also when a leader died between sending and noting it: then the same goes out once more, under the same key."""
    pager, known, now = Pager(), dict[str, bool](), 0
    keys: dict[str, bytes] = {}
    for step in history:
        one = alert(at_s=now)
        match step:
            case "fire" if not any(each.lasts for each in pager.alerts.values()):
                pager.put(one)
            case "end":
                pager.alerts = {name: ended(each, now) if each.lasts else each for name, each in pager.alerts.items()}
        for second in range(now, now + 70):
            found = pager.asked(second)
            if step == "sent twice":
                found += pager.asked(second)
            for each in found:
                said = msgspec.json.encode((each.firing, each.ended))
                assert keys.setdefault(each.key, said) == said
                known |= {one.fingerprint: one.lasts for one in (*each.firing, *each.ended)}
                pager.told[each.group.key, each.receiver] = each.told
            for place in forgotten(pager.told, pager.alerts, {"pager": PAGER}):
                del pager.told[place]
        now += 70
    for second in range(now, now + 140):
        for each in pager.asked(second):
            known |= {one.fingerprint: one.lasts for one in (*each.firing, *each.ended)}
            pager.told[each.group.key, each.receiver] = each.told
    lasting = {each.fingerprint for each in pager.alerts.values() if each.lasts}
    assert {name for name, lasts in known.items() if lasts} == lasting


def test_a_critical_alert_says_all_that_warnings_of_its_subject_would() -> None:
    grave, light, other = alert("NodeMemoryHigh", severity="critical"), alert(), alert(subject="node:n2")
    reasons = muted([grave, light, other], {}, 0)
    assert reasons == {light.fingerprint: f"alert:{grave.fingerprint}"}
    assert muted([ended(grave, 1), light], {}, 0) == {}


def test_a_node_that_does_not_answer_explains_alerts_of_what_it_hosted() -> None:
    down = alert("NodeUnresponsive", "node:n1", "critical", at_s=600)
    down = msgspec.structs.replace(down, annotations={SLICES: "orders,tea"})
    near = alert("InstancesMissing", "slice:orders", "critical", at_s=610)
    store = alert("StoreSilent", "store:n1", "critical", at_s=610)
    late = alert("SliceErrors", "slice:tea", "critical", at_s=600 + TOGETHER_MS // 1_000 + 1)
    strange = alert("InstancesMissing", "slice:cake", "critical", at_s=610)
    reasons = muted([down, near, store, late, strange], {}, 0)
    assert set(reasons) == {near.fingerprint, store.fingerprint}


@given(
    st.lists(
        st.builds(
            alert,
            name=st.sampled_from(("NodeUnresponsive", "InstancesMissing")),
            subject=st.sampled_from(("node:n1", "store:n1", "slice:orders", "cluster", "")),
            severity=st.sampled_from(("warning", "critical", "")),
            at_s=st.sampled_from((0, 200, 400)),
        ),
        max_size=8,
        unique_by=lambda each: each.fingerprint,
    )
)
def test_what_is_implied_is_found_whichever_alerts_last(alerts: list[Alert]) -> None:
    alerts = [msgspec.structs.replace(each, annotations={SLICES: "orders"}) for each in alerts]
    implied = {each.fingerprint for each in alerts if any(inhibits(other, each) for other in alerts)}
    assert set(muted(alerts, {}, 0)) == implied


def test_an_alert_takes_the_first_route_that_fits_and_those_behind_it_where_that_goes_on() -> None:
    routes = {
        "default": DEFAULT_ROUTE,
        "grave": Route(order=10, matchers=("severity=critical",), goes_on=True),
        "nodes": Route(order=20, matchers=("subject=~node:.*",)),
    }
    assert list(routed(alert(severity="critical"), routes)) == ["grave", "nodes"]
    assert list(routed(alert(), routes)) == ["nodes"]
    assert list(routed(alert(subject="slice:tea"), routes)) == ["default"]
    assert list(routed(msgspec.structs.replace(alert(subject="slice:tea"), origin="external"), routes)) == []


def test_a_route_names_its_receivers_and_groups_by_its_labels() -> None:
    route = Route(receivers=("pager", "gone"), group_by=("node",))
    first, second = groups_of([alert(), alert("X"), alert(subject="node:n2")], {"r": route}, ["mail", "pager"])
    assert (first.labels, first.receivers, len(first.alerts), len(second.alerts)) == ({"node": "n1"}, ("pager",), 2, 1)
    assert first.key == '{}/r:{node="n1"}'


def test_ends_that_somebody_has_yet_to_hear_of_are_awaited() -> None:
    pager = Pager()
    pager.put(alert(at_s=3))
    pager.until(range(20))
    assert awaited(pager.told) == {(alert().fingerprint, 3_000)}


@pytest.mark.parametrize(
    ("matcher", "does"),
    [
        ("node=n1", True),
        ('node="n1"', True),
        ("node = n1", True),
        ("node!=n1", False),
        ("node=~n.", True),
        ("node=~n", False),
        ("node!~n[1]", None),
        ("node!~n(1|2)", False),
        ("zone=", True),
        ("zone!=", False),
        ("zone=~.*", True),
        ("", None),
        ("node", None),
        ("1node=x", None),
        ("node=~(a+)+", None),
        ("node=~(a*)*b", None),
        ("node=~(a|a)*b", None),
        ("node=~.*.*.*b", None),
        ("node=~(", None),
        ("node=" + "x" * 300, None),
    ],
)
def test_matchers_compare_whole_values_and_what_could_take_for_ever_is_refused(matcher: str, does: bool | None) -> None:
    if does is None:
        with pytest.raises(MatcherInvalid):
            matcher_of(matcher)
        assert not fits([matcher], {"node": "n1"})
    else:
        assert fits([matcher], {"node": "n1"}) is does
