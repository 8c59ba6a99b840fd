"""What nodes, stores and the state tell of themselves for alerts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from playbooks.expressions.picture import Measured, Picture, Standing
from runtime.consensus.figures import Durations, Fill, StoreFigures
from runtime.consensus.store import Delete
from runtime.deployment.records import Records
from runtime.names import NodeId, SliceName, Version
from runtime.security.authority import Authority, issue_node
from runtime.security.tls import NODE_CERTIFICATE
from runtime.state import keys
from runtime.state.values import (
    ClusterRecord,
    Endpoint,
    InstanceState,
    NodeLive,
    NodeRecord,
    Phase,
    StoreBackup,
)
from runtime.telemetry.alerts.builtin import BUILTIN, NODE_UNRESPONSIVE
from runtime.telemetry.alerts.metrics import METRICS
from runtime.telemetry.alerts.records import Alert
from runtime.telemetry.alerts.state_figures import JOINING_S, SILENT_S, StateFigures
from runtime.telemetry.figures import MachineFigures, NodeFigures, StoreVitals
from runtime.telemetry.histogram import Histogram
from runtime.telemetry.machine import Machine, ends_of
from runtime.telemetry.picture import ClusterPicture
from runtime.telemetry.store_meter import SYNCS_MIN, StoreMeter
from tests.unit.gate_parts import NOWHERE, START_UNIX_MS, GateOnHand, HandClock

DAY_MS = 86_400_000


class States:
    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.silent: dict[str, int] = {}
        self.members: frozenset[str] = frozenset()
        self.figures = StateFigures(
            state=self.hand.state,
            records=Records(self.hand.state),
            silent_s=self.silent_s,
            store_members=lambda: self.members,
            clock=self.hand.clock,
        )

    def silent_s(self, node: str) -> int | None:
        return self.silent.get(node)

    def __call__(self, subject: str, metric: str) -> float | None:
        return self.figures.figure(subject, metric)


@pytest.mark.anyio
async def test_a_node_is_unresponsive_when_its_lease_has_ended_or_it_tells_nothing_unless_it_was_told_to_go() -> None:
    at = States()
    await at.hand.populate()
    at.silent = {"n1": SILENT_S, "n2": SILENT_S + 1}
    assert [at(f"node:n{number}", "unresponsive") for number in (1, 2, 3, 4)] == [0.0, 1.0, 0.0, None]
    await at.hand.store.txn((), [Delete(key=keys.node_live(NodeId("n3")))])
    assert at("node:n3", "unresponsive") == 1.0
    leaving = NodeRecord(node=NodeId("n3"), role="core", addresses=NOWHERE, leaving=True)
    await at.hand.put(keys.node(NodeId("n3")), leaving)
    assert at("node:n3", "unresponsive") is None


@pytest.mark.anyio
async def test_a_node_that_was_admitted_and_has_yet_to_start_is_neither_missed_nor_counted() -> None:
    """Its alert neither begins nor, where another leader knew better, ends."""
    at = States()
    await at.hand.populate()
    await at.hand.store.txn((), [Delete(key=keys.node_live(NodeId("n3")))])
    assert (at("node:n3", "unresponsive"), at("cluster", "quorum_margin")) == (0.5, None)
    rule = BUILTIN[NODE_UNRESPONSIVE]
    assert rule.critical is not None
    assert rule.critical_ends is not None
    assert rule.critical_ends < 0.5 <= rule.critical
    at.hand.clock.now_ms += JOINING_S * 1_000
    assert (at("node:n3", "unresponsive"), at("cluster", "quorum_margin")) == (1.0, 0.0)
    await at.hand.put(keys.node_live(NodeId("n3")), NodeLive(boot="b", started_unix_ms=0))
    at.figures.hear(None)
    await at.hand.store.txn((), [Delete(key=keys.node_live(NodeId("n3")))])
    assert at("node:n3", "unresponsive") == 1.0


@pytest.mark.anyio
async def test_the_quorums_margin_is_how_many_may_still_fail() -> None:
    at = States()
    await at.hand.populate()
    assert at("cluster", "quorum_margin") == 1.0
    await at.hand.store.txn((), [Delete(key=keys.node_live(NodeId("n3")))])
    assert at("cluster", "quorum_margin") == 0.0
    await at.hand.store.txn((), [Delete(key=keys.node(NodeId("n3")))])
    assert at("cluster", "quorum_margin") is None
    at.members = frozenset({"n1", "n2", "n3"})
    assert at("cluster", "quorum_margin") == 0.0, "it is forgotten, and the store still counts on it"
    at.members = frozenset({"n1", "n2"})
    assert at("cluster", "quorum_margin") is None


@pytest.mark.anyio
async def test_the_newest_kept_snapshot_counts_and_without_one_the_cluster_itself() -> None:
    at = States()
    assert at("cluster", "backup_age_h") is None
    await at.hand.put(keys.CLUSTER, ClusterRecord(cluster_id="c", created_unix_ms=START_UNIX_MS - DAY_MS))
    assert at("cluster", "backup_age_h") == 24.0
    for number, state, hours in ((1, "kept", 3), (2, "failed", 1)):
        backup = StoreBackup(number=number, at_unix_ms=START_UNIX_MS - hours * 3_600_000)
        await at.hand.put(keys.store_backup(number), msgspec.structs.replace(backup, state=state))
    assert at("cluster", "backup_age_h") == 3.0


@pytest.mark.anyio
async def test_what_of_a_slice_failed_or_is_missing_is_counted() -> None:
    at = States()
    await at.hand.populate(wanted=3, least=2)
    assert (at("slice:orders", "failed"), at("slice:orders", "missing")) == (0.0, 2.0)
    name, version, node = SliceName("orders"), Version("1"), NodeId("n1")
    await at.hand.put(keys.endpoint(name, node, 0), Endpoint(slice=name, version=version, node=node, number=0))
    failed = InstanceState(
        slice=name, node=node, number=1, version=version, phase=Phase.FAILED, since_unix_ms=0, generation=1
    )
    await at.hand.put(keys.instance_state(node, name, 1), failed)
    assert (at("slice:orders", "failed"), at("slice:orders", "missing")) == (1.0, 1.0)
    assert at("slice:cake", "missing") is None


def test_nodes_and_stores_are_asked_for_what_they_last_told_while_they_tell() -> None:
    picture = ClusterPicture()
    machine = MachineFigures(memory_share=0.5, certificate_left_days=9.5)
    vitals = StoreVitals(state_share=0.25, lag_entries={"n2": 7})
    picture.take(NodeFigures(node="n1", at_s=100, loop_lag_ms=3.0, machine=machine, store=vitals), 100)
    picture.take(NodeFigures(node="n2", at_s=100, store=StoreVitals(silent=True)), 100)
    picture.close_second(100)
    assert [picture.figure("node:n1", each) for each in METRICS["node"]] == [None, 0.5, None, 3.0, 0.0, 9.5]
    assert [picture.figure("store:n1", each) for each in METRICS["store"]] == [0.0, None, 0.25, 0.0, 0.0, None]
    assert (picture.figure("store:n2", "silent"), picture.figure("store:n2", "lag_entries")) == (1.0, 7.0)
    assert picture.figure("node:n3", "memory_share") is None
    assert picture.store_members() == {"n1", "n2"}
    picture.close_second(106)
    assert picture.figure("node:n1", "memory_share") is None
    assert (picture.silent_s("n1"), picture.silent_s("n3")) == (6, None)


def syncs(*milliseconds: int) -> Durations:
    seen = Histogram()
    for each in milliseconds:
        seen.record(each * 1_000)
    return Durations(buckets=seen.counts)


def test_a_store_is_judged_by_its_newest_syncs() -> None:
    meter = StoreMeter()
    quick, slow = (1,) * 100, (400,) * SYNCS_MIN
    figures = StoreFigures(node="n1", state=Fill(5, 10), quotas={"alert": Fill(9, 10), "node": Fill(1, 10)})

    def p99(durations: Durations) -> float | None:
        return meter.take(msgspec.structs.replace(figures, fsync=durations)).fsync_p99_ms

    assert p99(syncs(*quick)) is None
    assert p99(syncs(*quick, *slow[1:])) is None  # too few to say anything
    assert p99(syncs(*quick, *slow)) == pytest.approx(400, rel=0.05)
    assert p99(syncs(*quick, *slow, *quick)) == pytest.approx(1, rel=0.05)
    assert p99(syncs(1)) is None  # another process
    vitals = meter.take(figures)
    assert (vitals.state_share, vitals.quota_share, vitals.silent) == (0.5, 0.9, False)
    assert meter.take(None).silent


def test_a_machine_tells_memory_disk_and_how_long_its_certificate_holds(tmp_path: Path) -> None:
    clock = HandClock()
    authority = Authority.create(tmp_path, "c", now_unix_ms=START_UNIX_MS)
    issue_node(authority, tmp_path, NodeId("n1"), now_unix_ms=START_UNIX_MS)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n")
    machine = Machine(data=tmp_path, certificate=tmp_path / NODE_CERTIFICATE, clock=clock, meminfo=meminfo)
    clock.now_ms = DAY_MS
    seen = machine.figures()
    assert seen.memory_share == 0.75
    assert seen.disk_share is not None
    assert 0.0 < seen.disk_share < 1.0
    assert seen.certificate_left_days == pytest.approx(5 * 365 - 1)


def test_a_certificate_of_after_2049_is_read_too(tmp_path: Path) -> None:
    Authority.create(tmp_path, "c", now_unix_ms=2_600_000_000_000)
    assert ends_of((tmp_path / "ca.pem").read_text()) == 2_600_000_000 + 20 * 365 * 86_400


def test_what_a_machine_cannot_tell_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    for name in ("none.pem", "broken.pem"):
        machine = Machine(
            data=tmp_path / "none", certificate=tmp_path / name, clock=HandClock(), meminfo=tmp_path / "none"
        )
        assert machine.figures() == MachineFigures()


@pytest.mark.anyio
async def test_expressions_of_playbooks_see_alerts_that_last() -> None:
    """A playbook that waits for none to last must not wait for one that has ended."""
    hand = GateOnHand()
    one = Alert(fingerprint="a", group_key="g", labels={"alertname": "SliceSlow"}, starts_unix_ms=1, fired_unix_ms=1)
    await hand.put(keys.alert("a"), one)
    await hand.put(keys.alert("b"), msgspec.structs.replace(one, fingerprint="b", ends_unix_ms=2))
    picture = Picture(hand.state, Measured(at_unix_ms=0, window_s=0), Standing(leader="n1", quorum=True))
    (seen,) = picture.variables({"alerts"}, {})["alerts"]  # type: ignore[misc, union-attr]
    assert (seen["fingerprint"], seen["labels"]) == ("a", {"alertname": "SliceSlow"})
