"""Recorded decisions come out again as they were, and another policy's differ where it differs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from controllers.scaling.config import ScalingConfig
from controllers.scaling.decide import decide
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.model import QUANTILES, Forecast, OwnRules, SliceSeen, StableRule, Surroundings
from controllers.scaling.records import DecisionRecord
from controllers.scaling.replaying import Variant, replay, summed
from controllers.scaling.tree import LEAF, Node, RuleTree
from evals.scaling.errors import DecisionsUnusable
from evals.scaling.replay import read_policy, read_records
from runtime.operations.plan import Json

TREE = RuleTree(name="one leaf", features=(), quantile=0.5, nodes=(Node(LEAF, 1.0),))


def record(
    name: str,
    rate: float,
    serving: int = 10,
    *,
    forecast: Forecast | None = None,
    own_rules: OwnRules | None = None,
    most: int = 1_000,
) -> DecisionRecord:
    config, around = ScalingConfig(utilisation=0.5, spare_starts=0.0), Surroundings()
    seen = SliceSeen(
        rate=rate, serving=serving, rate_per_instance=100.0, forecast=forecast, own_rules=own_rules, most=most
    )
    decision = decide(config, TREE, seen, around)
    return DecisionRecord(
        id=name,
        at_unix_ms=1,
        kind="change",
        slice="tea",
        version="1",
        config=config,
        tree=TREE.name,
        seen=seen,
        around=around,
        decision=decision,
    )


def written(path: Path, *records: DecisionRecord) -> Path:
    path.write_bytes(b"\n".join(msgspec.json.encode(each) for each in records) + b"\n")
    return path


def test_another_policy_changes_what_it_bears_on_and_nothing_else(tmp_path: Path) -> None:
    source = written(tmp_path / "decisions.jsonl", record("calm", 100.0, serving=2), record("busy", 480.0))
    (tmp_path / "new.toml").write_text("utilisation = 0.25\n")
    found = replay([*read_records(source)], TREE, Variant(members=read_policy(tmp_path / "new.toml")))
    assert [(each.id, each.recorded, each.again, each.other) for each in found] == [
        ("calm", 2, 2, 4),
        ("busy", 10, 10, 20),
    ]
    assert msgspec.structs.astuple(summed(found)) == (2, 2, 2, 12, 0)


def others(record_: DecisionRecord, variant: Variant) -> tuple[int, int]:
    (found,) = replay([record_], TREE, variant)
    return found.again, found.other


def test_other_bounds_hold_as_if_they_had_been_there() -> None:
    busy = record("busy", 480.0, most=12)
    assert others(busy, Variant(most=8)) == (10, 8)
    assert others(busy, Variant(least=11)) == (10, 11)
    assert others(busy, Variant(least=15)) == (10, 15), "the upper bound moves along"
    assert others(record("calm", 100.0, serving=2), Variant(most=0)) == (2, 0), "and so does the lower one"


def test_without_forecasts_or_own_rules_the_rest_decides_alone() -> None:
    ahead = (900.0,) * len(QUANTILES)
    peak = record("peak", 480.0, forecast=Forecast(soon=ahead, later=ahead))
    assert others(peak, Variant()) == (11, 11)
    assert others(peak, Variant(forecast=False)) == (11, 10)
    stable = StableRule(name="more", step=5, cool_down_s=0)
    ruled = record("ruled", 480.0, own_rules=OwnRules(tree=True, stable=(stable,)))
    assert others(ruled, Variant(own_rules=False)) == (15, 10)


@pytest.mark.parametrize("members", [{"utilisation": 2.0}, {"utilization": 0.5}, {"hold_s": "long"}])
def test_a_policy_that_cannot_be_is_refused(members: dict[str, Json]) -> None:
    with pytest.raises(ScalingPolicyInvalid):
        replay([record("calm", 100.0)], TREE, Variant(members=members))


def test_an_answer_of_the_query_is_read_like_lines(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_bytes(msgspec.json.encode({"items": [record("calm", 100.0)], "next": ""}))
    assert [each.id for each in read_records(tmp_path / "answer.json")] == ["calm"]


@pytest.mark.parametrize("text", [b"{}\n", b"\xff\xfe", b"[1, 2]", b'{"items": 3}'])
def test_what_is_no_record_is_named_with_its_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "decisions.jsonl").write_bytes(text)
    with pytest.raises(DecisionsUnusable, match=r"decisions\.jsonl, record 1"):
        [*read_records(tmp_path / "decisions.jsonl")]


@pytest.mark.parametrize("text", ["utilisation = 2.0", "utilization = 0.5", "= 3"])
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "new.toml").write_text(text)
    with pytest.raises(DecisionsUnusable, match=r"new\.toml"):
        read_policy(tmp_path / "new.toml")
