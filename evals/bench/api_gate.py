"""The gate's decision alone: policy, plan, actor and circumstances in, verdict out."""

from __future__ import annotations

import time
from typing import Final

from controllers.gate.circumstances import Circumstances, RecentChange
from controllers.gate.evaluate import evaluate
from controllers.gate.policy import default_policy
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.catalogue import Catalogue
from runtime.operations.plan import BlastRadius, Plan
from runtime.operations.slices import OPERATIONS
from runtime.telemetry.histogram import Histogram

TIMES: Final = 20_000
NOW_MS: Final = 1_700_000_000_000


def gate_us() -> tuple[float, float]:
    """p50 and p99 in µs, over people, keys, agents and models, with a past of 16 changes."""
    policy, operation = default_policy(), Catalogue(OPERATIONS).change("slice.scale")
    person = Actor(kind=ActorKind.PERSON, id="anna", role=Role.OPERATOR)
    actors = (
        person,
        Actor(kind=ActorKind.AUTOMATION, id="ci", role=Role.OPERATOR),
        Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, is_agent=True),
        Actor(kind=ActorKind.MODEL, id="model", role=Role.ADMIN, behind=person),
    )
    plan = Plan(
        operation="slice.scale",
        subject="slice:orders",
        summary="orders 1.0.0: 10 -> 4 instances",
        changes=(),
        blast=BlastRadius(instances=6, capacity_share=0.6, dependants=("shop", "web"), budget_left=9),
        direction="in",
        step_share=0.6,
    )
    past = tuple(
        RecentChange(at_unix_ms=NOW_MS - 600_000 * at, actor="anna", by_agent=False, operation="slice.scale")
        for at in range(1, 17)
    )
    now = Circumstances(now_unix_ms=NOW_MS, recent={plan.subject: past}, tainted=True)
    found = Histogram()
    for number in range(TIMES):
        began = time.perf_counter_ns()
        evaluate(policy, operation, plan, actors[number % len(actors)], now)
        found.record((time.perf_counter_ns() - began) // 10)  # hundredths of a µs: whole ones would be coarse
    return found.percentile(0.5) / 100, found.percentile(0.99) / 100
