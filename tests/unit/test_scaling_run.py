"""The run beside HPA counts what broke the SLO, and its learnt days are those of its load."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from xml.etree import ElementTree

from evals.scaling_run.account import Account, Forecasted, RunResult, table
from evals.scaling_run.drawing import figure
from evals.scaling_run.load import DAY_MINUTES, DAYS_S, HIGH_RPS, LENGTH_S, LOW_RPS, SPIKE_S, RunLoad, earlier_days
from evals.scaling_run.run import WAYS, desks_project

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "order_domain"


def test_the_load_stays_between_its_bounds_and_reaches_them() -> None:
    rates = [RunLoad(spike=True).rate(float(at)) for at in range(int(LENGTH_S))]
    assert (min(rates), max(rates)) == (LOW_RPS, HIGH_RPS)
    assert math.isclose(RunLoad(spike=True).rate(DAYS_S[0] + 120.0), HIGH_RPS)


def test_the_spike_is_in_the_run_and_on_no_earlier_day() -> None:
    """Else the run would show how well a spike is met that was learnt by heart."""
    inside = sum(SPIKE_S) / 2
    assert RunLoad(spike=True).rate(inside) == HIGH_RPS
    minute = int(inside // 60)
    days = {each.minute: each.invocations for each in earlier_days("tea", 0, seed=1)}
    for day in range(1, 8):
        assert days[minute - day * DAY_MINUTES] < LOW_RPS * 60 * 1.3
    assert days[3 - DAY_MINUTES] > LOW_RPS * 60 * 3  # the ramp is there
    assert max(days) == -1


def test_a_second_with_a_failure_or_late_answers_is_violated() -> None:
    account = Account(4)
    account.answer(0.5, True, 200_000)
    account.answer(1.5, True, 900_000)
    account.answer(2.5, True, 100_000)
    account.answer(2.6, False, 100_000)
    account.answer(9.0, False, 1)
    account.instances(1, 2, 3)
    way = account.way("tea", [1.0] * 4)
    assert way.violation_pct == round(100 * 2 / 3, 2)
    assert (way.sent, way.bad) == (4, 2)
    assert way.instance_s == 9  # of seconds that were not looked at, the number before counts


def test_the_figure_is_sound_and_the_table_names_every_way() -> None:
    way = Account(120).way("desk-aether", [20.0] * 120)
    result = RunResult(
        nodes=3, length_s=120, ways=[way, way, way], forecast=[Forecasted(at_s=60.0, p10=1.0, p50=2.0, p90=3.0)]
    )
    drawn = ElementTree.fromstring(figure(result))
    assert len([each for each in drawn.iter() if each.get("class") == "band"]) == 1
    assert len(table(result)) == 4


def test_the_desks_stand_beside_the_order_example(tmp_path: Path) -> None:
    project = desks_project(tmp_path, EXAMPLE)
    slices = tomllib.loads((project / "blueprint.toml").read_text())["slices"]
    assert {each["slice"] for each in slices} == {"pricing", *WAYS}
    assert (project / "src" / "order_domain" / "pricing.py").is_file()
