"""Alerts begin when figures are beyond their bound for long enough, end when they are back for long enough, and do not
flap."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus.store import Delete, Put, Revision
from runtime.deployment.records import Records
from runtime.names import NodeId, SliceName
from runtime.operations.alerts.thresholds import ThresholdRequest
from runtime.state import keys
from runtime.state.values import AlertRecord, AlertThreshold, InstanceAssignment, Value
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.builtin import BUILTIN
from runtime.telemetry.alerts.judging import Streak, decide, streak_of
from runtime.telemetry.alerts.metrics import METRICS
from runtime.telemetry.alerts.records import Alert, AlertRule, Silence, Told
from runtime.telemetry.alerts.watch import ENDED_KEPT_MS, EXTERNAL_MS_MAX, AlertWatch
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand, target

pytestmark = pytest.mark.anyio

THRESHOLD = AlertThreshold(bound=50.0, for_s=3)


class Watched:
    """A leader that looks each second at three nodes and one slice."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.watch = self.other_leader()

    def other_leader(self) -> AlertWatch:
        hand = self.hand
        return AlertWatch(
            store=hand.store, state=hand.state, records=Records(hand.state), figures=hand.figures, clock=hand.clock
        )

    async def begin(self) -> None:
        await self.hand.populate()
        await self.hand.put(keys.alert_threshold("orders", "p99_ms"), THRESHOLD)

    async def seconds(
        self, *values: float | None, subject: str = "orders", metric: str = "p99_ms", name: str = "ThresholdPassed"
    ) -> list[bool]:
        """Whether the alert lasts after each second with such a figure."""
        told = []
        for value in values:
            self.hand.figures.known.pop((subject, metric), None)
            if value is not None:
                self.hand.figures.known[subject, metric] = value
            await self.watch.look(self.hand.fence() or Revision(0))
            told.append(any(each.lasts and each.labels.get("alertname") == name for each in self.alerts()))
            self.hand.clock.now_ms += 1_000
        return told

    def alerts(self) -> list[Alert]:
        return [each.alert for each in kept.alerts(self.hand.state)]

    def alert(self, name: str = "ThresholdPassed", severity: str = "warning") -> Alert:
        (found,) = [each for each in self.alerts() if each.labels["alertname"] == name and each.severity == severity]
        return found

    async def rule(self, rule: AlertRule, name: str = "Mine", subject: str = "*") -> None:
        await self.hand.put(keys.alert_rule(name, subject), rule)

    async def put(self, key: str, value: Value) -> None:
        await self.hand.put(key, value)


async def watched() -> Watched:
    found = Watched()
    await found.begin()
    return found


async def test_an_alert_begins_and_ends_after_so_many_seconds() -> None:
    at = await watched()
    assert await at.seconds(60, 60, 60, 70) == [False, False, False, True]
    found = at.alert()
    assert (found.subject, found.value, found.bound) == ("slice:orders", 70.0, 50.0)
    assert (found.starts_unix_ms, found.fired_unix_ms) == (START_UNIX_MS, START_UNIX_MS + 3_000)
    assert found.annotations["summary"] == "p99_ms of slice:orders is 70, above 50"
    assert await at.seconds(50, 50, 50, 50) == [True, True, True, False]
    assert at.alert().ends_unix_ms == START_UNIX_MS + 7_000


async def test_a_figure_that_comes_and_goes_neither_begins_nor_ends_an_alert() -> None:
    at = await watched()
    assert not any(await at.seconds(60, 60, 40, 60, 60, 40, 60, 60))
    assert await at.seconds(60, 60) == [False, True]
    assert all(await at.seconds(40, 40, 60, 40, 40, 60))


async def test_an_alert_ends_behind_a_bound_of_its_own() -> None:
    """So that a figure that trembles about its bound tells once, not each minute."""
    at = await watched()
    await at.rule(AlertRule(kind="node", metric="disk_share", warning=0.8, warning_ends=0.7, for_s=0, ends_after_s=0))
    figures = (0.79, 0.81, 0.75, 0.81, 0.71, 0.69, 0.79, 0.81)
    lasts = await at.seconds(*figures, subject="node:n2", metric="disk_share", name="Mine")
    assert lasts == [False, True, True, True, True, False, False, True]


async def test_a_figure_may_be_too_low_as_well() -> None:
    at = await watched()
    found = await at.seconds(*([5.0] * 62), subject="node:n1", metric="certificate_left_days", name="CertificateEnds")
    assert found[-1]
    assert at.alert("CertificateEnds", "critical").labels["node"] == "n1"
    assert at.alert("CertificateEnds").severity == "warning"


async def test_both_windows_of_a_burn_rate_must_be_beyond_the_bound() -> None:
    at = await watched()
    await at.rule(AlertRule(kind="cluster", metric="quorum_margin", also=("backup_age_h",), critical=5.0, for_s=0))
    at.hand.figures.known["cluster", "backup_age_h"] = 4.0
    assert await at.seconds(9.0, subject="cluster", metric="quorum_margin", name="Mine") == [False]
    at.hand.figures.known["cluster", "backup_age_h"] = 6.0
    assert await at.seconds(9.0, subject="cluster", metric="quorum_margin", name="Mine") == [True]


async def test_a_rule_of_one_subject_goes_before_that_for_all() -> None:
    at = await watched()
    rule = AlertRule(kind="node", metric="disk_share", warning=0.5, for_s=0, ends_after_s=0)
    await at.rule(rule)
    await at.rule(msgspec.structs.replace(rule, warning=0.9), subject="node:n1")
    at.hand.figures.known |= {("node:n1", "disk_share"): 0.7, ("node:n2", "disk_share"): 0.7}
    await at.seconds(None)
    assert [each.subject for each in at.alerts()] == ["node:n2"]
    await at.rule(msgspec.structs.replace(rule, enabled=False), subject="node:n2")
    await at.seconds(None)
    assert [each.subject for each in at.alerts() if each.lasts] == []


async def test_a_slice_that_nobody_calls_any_more_has_no_alert() -> None:
    at = await watched()
    assert (await at.seconds(60, 60, 60, 60))[-1]
    assert (await at.seconds(None, None, None, None))[-1] is False


async def test_an_alert_goes_with_its_threshold() -> None:
    at = await watched()
    await at.seconds(60, 60, 60, 60)
    await at.hand.store.txn((), [Delete(key=keys.alert_threshold("orders", "p99_ms"))])
    assert await at.seconds(60) == [False]


async def test_what_cannot_be_read_keeps_no_other_from_being_watched() -> None:
    at = await watched()
    for key in (keys.alert_threshold("a", "p99_ms"), keys.alert_rule("A", "*"), keys.alert("a")):
        await at.hand.store.txn((), [Put(key=key, value=b"{}")])
    assert (await at.seconds(60, 60, 60, 60))[-1]


async def test_an_alert_of_a_version_without_fingerprints_goes_on_as_it_was() -> None:
    """An update must neither lose what lasts nor begin it anew."""
    at = await watched()
    await at.put(f"{keys.ALERTS}orders/p99_ms", AlertRecord(since_unix_ms=7, value=70.0, bound=50.0, for_s=3))
    assert await at.seconds(60) == [True]
    (found,) = kept.alerts(at.hand.state)
    assert (found.item.key, found.alert.starts_unix_ms) == (keys.alert(found.alert.fingerprint), 7)
    assert (await at.seconds(40, 40, 40, 40))[-1] is False


async def test_another_leader_goes_on_with_what_lasts() -> None:
    at = await watched()
    await at.seconds(60, 60, 60, 60)
    before = at.alert()
    at.watch = at.other_leader()
    assert await at.seconds(60, 60) == [True, True]
    assert at.alert() == before
    assert (await at.seconds(40, 40, 40, 40))[-1] is False


async def test_who_does_not_lead_any_more_writes_nothing() -> None:
    at = await watched()
    leads = at.hand.fence()
    assert leads is not None
    at.hand.figures.known["orders", "p99_ms"] = 60
    for _ in range(5):
        await at.watch.look(Revision(leads + 1))
        at.hand.clock.now_ms += 1_000
    assert not at.alerts()


async def test_a_node_that_does_not_answer_tells_what_it_hosted() -> None:
    """Its instances are placed elsewhere before its alert begins."""
    at = await watched()
    assignment = InstanceAssignment(
        slice=SliceName("orders"),
        number=0,
        version=target("orders", 1).settings.version,
        artifact_sha256=target("orders", 1).artifact_sha256,
        settings=target("orders", 1).settings,
        generation=1,
    )
    key = keys.instance(NodeId("n2"), SliceName("orders"), 0)
    await at.put(key, assignment)
    await at.seconds(0.0, subject="node:n2", metric="unresponsive")
    await at.hand.store.txn((), [Delete(key=key), Delete(key=keys.node_live(NodeId("n2")))])
    await at.seconds(*[1.0] * 6, subject="node:n2", metric="unresponsive")
    found = at.alert("NodeUnresponsive", "critical")
    assert (found.labels["node"], found.annotations["slices"]) == ("n2", "orders")


async def test_what_is_over_goes_unless_somebody_has_yet_to_hear_of_its_end() -> None:
    at = await watched()
    await at.seconds(60, 60, 60, 60, 40, 40, 40, 40)
    ended = at.alert()
    told = Told(group_key="g", receiver="r", number=1, at_unix_ms=0, firing={ended.fingerprint: ended.starts_unix_ms})
    await at.put(keys.alert_told("t"), told)
    await at.put(keys.alert_silence("past"), Silence(matchers=("a=b",), until_unix_ms=1, created_unix_ms=0))
    at.hand.clock.now_ms += 2 * ENDED_KEPT_MS
    await at.seconds(None)
    assert at.alerts() == [ended]
    assert not at.hand.state.items(keys.ALERT_SILENCES)
    await at.hand.store.txn((), [Delete(key=keys.alert_told("t"))])
    await at.seconds(None)
    assert at.alerts() == []


async def test_an_alert_from_outside_of_which_nothing_is_heard_ends() -> None:
    at = await watched()
    alert = Alert(
        fingerprint="e", group_key="g", labels={}, origin="external", starts_unix_ms=1, fired_unix_ms=1,
        heard_unix_ms=START_UNIX_MS,
    )  # fmt: skip
    await at.put(keys.alert("e"), alert)
    at.hand.clock.now_ms += EXTERNAL_MS_MAX
    await at.seconds(None)
    assert at.alerts() == [alert]
    at.hand.clock.now_ms += 1
    await at.seconds(None)
    assert not at.alerts()[0].lasts


def test_a_threshold_may_be_set_on_every_metric_of_slices() -> None:
    """What its request names is what there is."""
    metric = msgspec.inspect.type_info(ThresholdRequest).fields[1].type  # type: ignore[attr-defined]
    assert set(metric.type.values) == METRICS["slice"].keys()


def test_every_built_in_rule_watches_metrics_that_there_are_and_ends_where_it_began() -> None:
    """A rule that could never fire would be trusted in vain."""
    for name, rule in BUILTIN.items():
        assert {rule.metric, *rule.also} <= METRICS[rule.kind].keys(), name
        sign = 1 if rule.direction == "above" else -1
        for severity in ("warning", "critical"):
            bound, end = rule.bound(severity), rule.bound_of_end(severity)
            assert bound is None or (end is not None and (bound - end) * sign >= 0), name
        assert rule.summary.count("{subject}") or rule.kind == "cluster", name
        assert rule.warning is not None or rule.critical is not None, name


@settings(max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0, 20),
)
def test_an_alert_lasts_only_between_streaks_that_were_long_enough(
    figures: list[float | None], for_s: int, ends_after_s: int, margin: float
) -> None:
    """Of every history: what fires was beyond for that long, and what ends was back for that long."""
    rule = AlertRule(
        kind="slice", metric="p99_ms", warning=50.0, warning_ends=50.0 - margin, for_s=for_s, ends_after_s=ends_after_s
    )
    streak: Streak | None = None
    firing = False
    for second, value in enumerate(figures):
        now = second * 1_000
        streak = streak_of(streak, rule, "warning", [value], firing=firing, now_unix_ms=now)
        decision = decide(streak, rule, firing=firing, now_unix_ms=now)
        if decision == "fire":
            lately = figures[second - for_s : second + 1]
            assert len(lately) == for_s + 1
            assert all(each is not None and each > 50.0 for each in lately)
        if decision == "end":
            lately = figures[second - ends_after_s : second + 1]
            assert len(lately) == ends_after_s + 1
            assert not any(each is not None and each > 50.0 - margin for each in lately)
        firing = decision == "fire" or (firing and decision != "end")
