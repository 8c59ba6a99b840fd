"""The store's figures, from what it counts to what Prometheus reads."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_api.cli.store_verbs import last_snapshot
from runtime.consensus.engine import EngineStore
from runtime.consensus.figures import Durations, Fill, StoreFigures
from runtime.consensus.store import Put, Revision
from runtime.state.quotas import TOTAL_BYTES_MAX, fullest
from runtime.telemetry.exposition import Exposition
from tests.unit.test_store_engines import raft_of_one

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "store-metrics.md"


@pytest.mark.anyio
async def test_a_store_counts_what_it_does(tmp_path: Path) -> None:
    async with raft_of_one(tmp_path) as engine:
        store = EngineStore(engine)
        for number in range(10):
            await store.txn([], [Put(key=f"database/tea/{number}", value=b"v" * 100)])
        await store.grant(5_000)
        (await engine.fresh_snapshot(Revision(5))).close()
        figures = engine.figures()
        snapshot = tmp_path / "store" / "snapshot"
        os.utime(snapshot, (0, snapshot.stat().st_mtime - 90))
        assert 90 <= engine.figures().snapshot_age_s < 150  # it counts from the writing, whatever started again since
    assert figures.leads
    assert figures.commit.count == 11
    assert figures.fsync.count >= 11
    assert (figures.elections, figures.leader_changes, figures.quorum_losses) == (1, 1, 0)
    assert (figures.keys, figures.leases, figures.snapshots_written) == (11, 1, 1)
    assert figures.snapshot_bytes > 0
    assert figures.snapshot_index > 10
    assert figures.state == Fill(10 * (100 + len("database/tea/0")) + len("_leadern1"), TOTAL_BYTES_MAX)
    assert figures.quotas["database"].used == 10 * (100 + len("database/tea/0"))


@pytest.mark.parametrize(
    ("index", "age_s", "shown"),
    [
        (0, 0.0, "none yet"),
        (7, 0.4, "entry 7, 0 s old"),
        (7, 119.9, "entry 7, 119 s old"),
        (7, 120.0, "entry 7, 2 min old"),
        (7, 7_200.0, "entry 7, 2 h old"),
        (7, 200_000.0, "entry 7, 2 days old"),
    ],
)
def test_status_shows_the_last_snapshot_and_its_age(index: int, age_s: float, shown: str) -> None:
    assert last_snapshot(StoreFigures(node="n1", snapshot_index=index, snapshot_age_s=age_s)) == shown


def test_of_several_parts_of_a_kind_the_fullest_is_told() -> None:
    weights = {"database/a": 5, "database/b": 9, "artifact": 0, "mine": 3, "yours": 4}
    assert {kind: used for kind, (used, _) in fullest(weights).items()} == {"database": 9, "other": 4}


def test_prometheus_reads_them_and_the_reference_explains_each() -> None:
    figures = StoreFigures(
        node="n1",
        term=3,
        leads=True,
        commit=Durations({20: 2}, 40),
        elections=4,
        lag_entries={"n2": 7},
        quotas={"database": Fill(1, 2)},
    )
    text = Exposition(lambda: (), lambda: figures).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["runtime_store_term",] == 3
    assert values["runtime_store_elections_total",] == 4
    assert values["runtime_store_lag_entries", "n2"] == 7
    assert values["runtime_store_quota_limit_bytes", "database"] == 2
    assert values["runtime_store_commit_duration_seconds_count",] == 2
    assert values["runtime_store_commit_duration_seconds_bucket", "0.00025"] == 2
    told = set(re.findall(r"`(runtime_store_[a-z_]+)`", REFERENCE.read_text()))
    ours = {sample.name for family in families.values() if "store" in family.name for sample in family.samples}
    assert told == {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in ours}
