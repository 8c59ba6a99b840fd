"""Scenarios as data: all that are shipped can be read, and every mistake is told with file, line, key and remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scenarios.document import Scenario, ScenarioInvalid, read_scenario, read_scenarios, shipped
from evals.scenarios.run import sampled

GOOD = """\
summary = "The ledger fails"
says = ["why does basket fail?"]
faults = ["dial ledger fail=0.5"]

[expect]
faulty = true
roots = ["slice:ledger"]

[mitigate]
ends = ["slice basket errors below 0.2"]
"""


def written(directory: Path, text: str | bytes) -> Path:
    file = directory / "one" / "scenario.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_what_is_shipped_is_enough_and_can_be_read() -> None:
    found = read_scenarios()
    assert len(found) >= 40
    assert sum(each.is_control for each in found) >= 4
    assert sum(each.document.held_out for each in found) == 10
    judged = {level for each in found for level in each.levels}
    assert judged == {"detect", "localize", "analyse", "mitigate", "policy"}


@pytest.mark.parametrize(("folder", "least", "controls"), [("unseen", 12, 2), ("unseen_2", 10, 4)])
def test_what_no_rule_was_made_by_can_be_read_and_is_marked_so(folder: str, least: int, controls: int) -> None:
    found = read_scenarios(shipped().parent / folder)
    assert all(each.document.held_out for each in found)
    assert (len(found) >= least, sum(each.is_control for each in found) >= controls) == (True, True)
    assert not {each.id for each in found} & {each.id for each in read_scenarios()}


def test_what_is_expected_says_at_which_levels_it_is_judged(tmp_path: Path) -> None:
    found = read_scenario(written(tmp_path, GOOD))
    assert found.levels == ("detect", "localize", "mitigate")
    assert (found.id, found.is_control, found.steps) == ("one", False, None)
    (tmp_path / "one" / "steps.py").write_text("")
    assert "policy" in read_scenario(tmp_path / "one" / "scenario.toml").levels


@pytest.mark.parametrize(
    ("text", "line", "key", "detail"),
    [
        (GOOD.replace("faults", "fautls"), 3, "fautls", "did you mean faults"),
        (GOOD.replace("roots", "rots"), 7, "expect.rots", "did you mean roots"),
        (GOOD.replace('"slice:ledger"', '"ledger"'), 7, "expect.roots[0]", "regex"),
        (GOOD.replace("faulty = true", 'faulty = "yes"'), 6, "expect.faulty", "expected `bool"),
        (GOOD.replace('says = ["why does basket fail?"]', "says = []"), 2, "says", "length >= 1"),
        (GOOD.replace('ends = ["slice basket errors below 0.2"]', "within_s = 5"), 9, "mitigate.ends", "is missing"),
        (GOOD.replace("faulty = true", "faulty = false"), 6, "expect.faulty", "nothing is wrong"),
        (GOOD.replace("[expect]", "[expect"), 5, "", "expected ']'"),
        ('summary = "x"\nsays = ["y"]\n', 0, "expect", "nothing is expected"),
        (b'summary = "\xff"', 1, "", "not UTF-8"),
        ("x = " + "[" * 5_000, 0, "", ""),
        ("#" * 70_000, 0, "", "at most 65536"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str | bytes, line: int, key: str, detail: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ScenarioInvalid) as caught:
        read_scenario(file)
    problem = caught.value.problem()
    assert detail.lower() in str(caught.value).lower()
    assert (problem["file"], problem["key"]) == (str(file), key)
    assert not line or problem["line"] == line
    assert problem["remedy"]


def test_a_directory_without_scenarios_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioInvalid, match="no folder in it"):
        read_scenarios(tmp_path)
    with pytest.raises(ScenarioInvalid, match="no such directory"):
        read_scenarios(tmp_path / "nowhere")


@given(st.binary(max_size=200) | st.text(alphabet='[]="{}\nabexpctfultyros.:', max_size=120).map(str.encode))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = written(tmp_path_factory.getbasetemp(), raw)
    with contextlib.suppress(ScenarioInvalid):
        assert isinstance(read_scenario(file), Scenario)


def test_a_sample_fits_its_budget_and_is_repeated_by_its_seed() -> None:
    found = read_scenarios()
    sample = sampled(found, 7, budget_s=12.0)
    assert sample == sampled(found, 7, budget_s=12.0)
    assert 0 < sum(each.document.seconds for each in sample) <= 12.0
    assert not any(each.document.usual for each in sample)
    assert {each.id for seed in range(40) for each in sampled(found, seed, budget_s=12.0)} > {
        "misspelt-name",
        "ambiguous",
    }
