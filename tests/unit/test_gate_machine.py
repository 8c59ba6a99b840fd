"""Whatever people, agents, leaders and time do to a gate, and in whatever order: what must never happen does not."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from controllers.gate.audit import AuditBroken
from tests.unit.gate_machine import GateMachine
from tests.unit.gate_planted import PLANTED

DEFAULT = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)

SEARCH = settings(
    DEFAULT,
    max_examples=2_000,
    phases=(Phase.generate,),
    database=None,
    report_multiple_bugs=False,
    derandomize=True,  # what is found is found each time
)

FEW = settings(SEARCH, max_examples=3)


def sampled(names: Iterable[str], number: int) -> list[str]:
    known = sorted(names)
    if os.environ.get("AETHER_TEST_ALL"):
        return known
    return random.Random(os.environ.get("AETHER_TEST_SEED", "1")).sample(known, number)


def test_no_history_of_a_gate_breaks_a_promise() -> None:
    """The oracle in tests/unit/gate_world.py looks at every transaction; tests/unit/gate_planted.py shows what that
    finds."""
    run_state_machine_as_test(GateMachine, settings=DEFAULT)


@pytest.mark.parametrize("protection", sorted(PLANTED))
def test_a_mistake_fits_the_gate_as_it_is(protection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it breaks, it is a promise: one that stands in for a function of another shape breaks the machine."""
    PLANTED[protection](monkeypatch)
    with contextlib.suppress(AssertionError, AuditBroken):
        run_state_machine_as_test(GateMachine, settings=FEW)


@pytest.mark.slow
@pytest.mark.parametrize("protection", sampled(PLANTED, 3))
def test_a_protection_that_is_taken_out_is_missed(protection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them by the seed of the run; all with AETHER_TEST_ALL=1."""
    PLANTED[protection](monkeypatch)
    with pytest.raises((AssertionError, AuditBroken)):
        run_state_machine_as_test(GateMachine, settings=SEARCH)
