"""What one decision of the gate costs: the pure function alone, on the largest circumstances that it is ever given."""

from __future__ import annotations

import time
from typing import Final

from controllers.gate.circumstances import RECENT_MAX, TOUCHED_MAX, Circumstances, RecentChange
from controllers.gate.evaluate import evaluate
from controllers.gate.policy import default_policy
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.plan import BlastRadius, Plan
from runtime.operations.slices import OPERATIONS

ROUNDS: Final = 20_000
NOW_MS: Final = 1_700_000_000_000


def gate_evaluation_us(rounds: int = ROUNDS) -> list[float]:
    """Microseconds of each of so many decisions about an agent's change, sorted."""
    policy, operation = default_policy(), next(each for each in OPERATIONS if each.name == "slice.scale")
    plan, actor, now = _plan(), _actor(), _circumstances()
    found = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        evaluate(policy, operation, plan, actor, now)
        found.append((time.perf_counter_ns() - began) / 1_000)
    return sorted(found)


def _plan() -> Plan:
    blast = BlastRadius(
        instances=5,
        nodes=("n1", "n2", "n3"),
        capacity_share=0.5,
        dependants=tuple(f"slice-{number}" for number in range(20)),
        budget_left=3,
    )
    return Plan(operation="slice.scale", subject="slice:s0", summary="", changes=(), blast=blast, direction="in")


def _actor() -> Actor:
    person = Actor(kind=ActorKind.PERSON, id="anna", role=Role.OPERATOR)
    playbook = Actor(kind=ActorKind.PLAYBOOK, id="playbook:calm", role=Role.OPERATOR, behind=person)
    return Actor(kind=ActorKind.MODEL, id="model:assistant", role=Role.OPERATOR, behind=playbook)


def _circumstances() -> Circumstances:
    """Every subject at its most changes, none of them an agent's within the window: nothing refuses early."""
    others = tuple(
        RecentChange(at_unix_ms=NOW_MS - number * 1_000, actor="cleo", by_agent=False, operation="slice.scale")
        for number in range(RECENT_MAX)
    )
    agents = tuple(
        RecentChange(at_unix_ms=NOW_MS - 3_600_000, actor="bot", by_agent=True, operation="slice.scale")
        for _ in range(RECENT_MAX)
    )
    return Circumstances(
        now_unix_ms=NOW_MS,
        recent={f"slice:s{number}": (*agents, *others) for number in range(TOUCHED_MAX)},
        frozen="the big sale",
        incident="errors",
        tainted=True,
        domain="blueprint:shop",
    )
