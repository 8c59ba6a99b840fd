"""The gate's decision as a pure function: what holds for every policy that is accepted, every actor, every moment."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.gate.circumstances import RECENT_MAX, Circumstances, RecentChange, RecentChanges, with_change
from controllers.gate.errors import PolicyInvalid
from controllers.gate.evaluate import evaluate
from controllers.gate.policy import Policy, cautious_policy, default_policy, parse_policy
from controllers.gate.proposals import MOVES, IllegalMove, ProposalEvent, ProposalState, advance
from controllers.gate.verdict import GateClass, Needs, Verdict
from runtime.operations import slices
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.operation import AnyChange, Risk
from runtime.operations.plan import BlastRadius, Plan

NOW = 1_700_000_000_000
SCALE: AnyChange = slices.OPERATIONS[0]
SEVERITY = {"act": 0, "propose": 1, "refuse": 2}

# -- strategies --------------------------------------------------------------------------------------------------------

classes = st.integers(0, 3)
roles = st.sampled_from(Role)
kinds = st.fixed_dictionaries(
    {name: classes for name in ("low", "medium", "high", "critical")} | {"acts_up_to": classes}
)
agents = st.fixed_dictionaries(
    {name: st.integers(1, 3) for name in ("low", "medium", "high")} | {"critical": st.just(3), "acts_up_to": st.just(0)}
)


def approvals(least: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "approvers": st.integers(least, 9),
            "role": st.sampled_from(["viewer", "operator", "admin"]),
            "owner": st.booleans(),
            "expires_min": st.integers(1, 1_440),
        }
    )


raises = st.fixed_dictionaries(
    {
        "capacity_share_g1": st.floats(0, 0.5),
        "capacity_share_g2": st.floats(0.5, 1),
        "nodes_g2": st.integers(0, 4),
        **{
            name: classes
            for name in ("budget_exceeded", "dependants_lose_all", "freeze", "incident", "tainted", "flapping", "rate")
        },
    }
)
limits = st.fixed_dictionaries(
    {
        "changes_per_subject": st.integers(0, RECENT_MAX),
        "changes_unattended": st.integers(1, RECENT_MAX),
        "window_min": st.integers(1, 60),
        "flapping_min": st.integers(1, 60),
        "one_at_a_time_per_domain": st.booleans(),
        "step_share": st.floats(0, 2),
        "step_out_share": st.floats(0, 20),
        "turns": st.integers(0, 10),
        "pending": st.integers(0, 30),
    }
)
tables = st.fixed_dictionaries(
    {
        "version": st.integers(1, 5),
        "g1": approvals(1),
        "g2": approvals(2),
        "people": kinds,
        "automation": kinds,
        "controllers": kinds,
        "agents": agents,
        "raises": raises,
        "limits": limits,
        "operations": st.dictionaries(st.sampled_from(["slice.scale", "node.drain"]), classes),
    }
)


def toml(table: dict[str, Any]) -> str:
    lines = [f"{name} = {_scalar(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", *(f'"{key}" = {_scalar(each)}' for key, each in value.items())]
    return "\n".join(lines)


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


policies = tables.map(lambda table: parse_policy(toml(table)))

people = st.builds(
    Actor,
    kind=st.sampled_from(ActorKind),
    id=st.sampled_from(["anna", "bot", "gate"]),
    role=roles,
    owns=st.sampled_from([(), ("slice:orders",)]),
    is_agent=st.booleans(),
)
actors = st.one_of(
    people,
    st.builds(lambda front, behind: msgspec.structs.replace(front, behind=behind), people, people),
)
operations = st.builds(
    lambda risk, role: SCALE.__class__(
        **{
            name: getattr(SCALE, name)
            for name in ("name", "summary", "request", "result", "route", "effect", "subject", "plan")
        },
        risk=risk,
        role=role,
    ),
    st.sampled_from(Risk),
    roles,
)
shares = st.sampled_from([0.0, 0.2, 0.25, 0.3, 0.6, 0.67, 0.7, 1.0])
plans = st.builds(
    lambda blast, direction, step, within: Plan(
        operation="slice.scale",
        subject="slice:orders",
        summary="",
        changes=(),
        blast=blast,
        direction=direction,
        step_share=step,
        within_bounds=within,
    ),
    st.builds(
        BlastRadius,
        instances=st.integers(0, 9),
        nodes=st.sampled_from([(), ("n1",), ("n1", "n2"), ("n1", "n2", "n3")]),
        capacity_share=shares,
        dependants=st.sampled_from([(), ("tea",)]),
        budget_left=st.none() | st.integers(0, 9),
    ),
    st.sampled_from(["out", "in", "none"]),
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]),
    st.booleans(),
)
changes = st.builds(
    RecentChange,
    at_unix_ms=st.integers(NOW - 3_600_000, NOW),
    actor=st.just("x"),
    by_agent=st.booleans(),
    operation=st.just("slice.scale"),
    direction=st.sampled_from(["out", "in", "none"]),
)
moments = st.builds(
    Circumstances,
    now_unix_ms=st.just(NOW),
    recent=st.dictionaries(
        st.sampled_from(["slice:orders", "slice:tea"]), st.lists(changes, max_size=5).map(tuple), max_size=2
    ),
    frozen=st.sampled_from(["", "sale"]),
    incident=st.sampled_from(["", "errors"]),
    tainted=st.booleans(),
    pending=st.integers(0, 25),
    touched=st.sampled_from([1, 64, 65]),
    domains=st.just(("blueprint:shop",)),
    domain_busy=st.sampled_from(["", "another"]),
)


# -- properties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "member", "value"),
    [
        ("agents", "low", 0),
        ("agents", "medium", 0),
        ("agents", "high", 0),
        ("agents", "critical", 2),
        ("agents", "acts_up_to", 1),
        ("g1", "approvers", 0),
        ("g2", "approvers", 1),
        ("raises", "capacity_share_g1", 0.99),
        ("limits", "changes_per_subject", RECENT_MAX + 1),
        ("limits", "unheard_of", 1),
        ("people", "low", 4),
    ],
)
def test_a_policy_that_would_break_a_promise_is_refused(table: str, member: str, value: float) -> None:
    """Each of these values alone, in a policy that is accepted otherwise."""
    policy = msgspec.to_builtins(default_policy())
    assert parse_policy(toml(policy)) == default_policy()
    with pytest.raises(PolicyInvalid):
        parse_policy(toml({**policy, table: {**policy[table], member: value}}))


@given(policies, operations, plans, actors, moments)
def test_an_agent_never_acts_at_once_and_never_below_class_1(
    policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances
) -> None:
    verdict = evaluate(policy, operation, plan, actor, now)
    if actor.acts_as_agent:
        assert verdict.decision != "act"
        assert verdict.gate_class >= GateClass.G1
        if operation.risk is Risk.CRITICAL:
            assert verdict.decision == "refuse"
    if verdict.gate_class is GateClass.G3 and actor.kind not in (ActorKind.PERSON, ActorKind.AUTOMATION):
        assert verdict.decision == "refuse"


@given(policies, operations, plans, actors, moments)
def test_what_waits_waits_for_somebody_who_may_do_it_and_not_for_ever(
    policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances
) -> None:
    verdict = evaluate(policy, operation, plan, actor, now)
    if verdict.decision == "refuse":
        return
    assert verdict.asks.approvers >= (2 if verdict.gate_class >= GateClass.G2 else 1)
    assert Needs(approvers=verdict.asks.approvers, role=verdict.asks.role).cover(
        Needs(approvers=1, role=operation.role)
    )
    assert verdict.expires_ms >= 60_000
    assert verdict.needs == (verdict.asks if verdict.decision == "propose" else Needs())
    assert actor.may(operation.role, plan.subject)
    assert all(each.may(operation.role, plan.subject) for each in actor.chain())


@given(policies, operations, plans, actors, moments, st.data())
def test_no_circumstance_lowers_the_class(
    policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances, data: st.DataObject
) -> None:
    before = evaluate(policy, operation, plan, actor, now)
    change = data.draw(st.sampled_from(sorted(WORSE)))
    worse_plan, worse_actor, worse = WORSE[change](plan, actor, now)
    after = evaluate(policy, operation, worse_plan, worse_actor, worse)
    assert severity(after) >= severity(before), change


def severity(verdict: Verdict) -> tuple[int, int]:
    refused = verdict.decision == "refuse"
    return (SEVERITY[verdict.decision], 3 if refused else int(verdict.gate_class))


def blasted(plan: Plan, **members: Any) -> Plan:
    return msgspec.structs.replace(plan, blast=msgspec.structs.replace(plan.blast, **members))


def happened(now: Circumstances, by_agent: bool, direction: Any) -> Circumstances:
    change = RecentChange(at_unix_ms=NOW, actor="y", by_agent=by_agent, operation="slice.scale", direction=direction)
    mine = (*now.recent.get("slice:orders", ()), change)
    return msgspec.structs.replace(now, recent={**now.recent, "slice:orders": mine})


WORSE: dict[str, Any] = {
    "freeze": lambda p, a, n: (p, a, msgspec.structs.replace(n, frozen="sale")),
    "incident": lambda p, a, n: (p, a, msgspec.structs.replace(n, incident="errors")),
    "taint": lambda p, a, n: (p, a, msgspec.structs.replace(n, tainted=True)),
    "one more waits": lambda p, a, n: (p, a, msgspec.structs.replace(n, pending=n.pending + 1)),
    "busy": lambda p, a, n: (p, a, msgspec.structs.replace(n, domain_busy="another")),
    "changed out": lambda p, a, n: (p, a, happened(n, True, "out")),
    "changed in": lambda p, a, n: (p, a, happened(n, False, "in")),
    "all capacity": lambda p, a, n: (blasted(p, capacity_share=1.0), a, n),
    "more nodes": lambda p, a, n: (blasted(p, nodes=(*p.blast.nodes, "n9")), a, n),
    "no budget": lambda p, a, n: (blasted(p, budget_left=0), a, n),
    "dependants": lambda p, a, n: (blasted(p, dependants=(*p.blast.dependants, "more")), a, n),
    "larger step": lambda p, a, n: (msgspec.structs.replace(p, step_share=p.step_share + 1), a, n),
    "out of bounds": lambda p, a, n: (msgspec.structs.replace(p, within_bounds=False), a, n),
}


@given(policies, operations, plans, moments, roles)
def test_a_controllers_scaling_inside_its_limits_raises_by_the_moment_alone(
    policy: Policy, operation: AnyChange, plan: Plan, now: Circumstances, role: Role
) -> None:
    """Blast radius is what bounds, step and disruption budget are for: it raises nothing more."""
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=role)
    budget = plan.blast.budget_left
    plan = msgspec.structs.replace(
        plan,
        within_bounds=True,
        step_share=min(plan.step_share, policy.limits.step_share, policy.limits.step_out_share),
        direction="out" if plan.direction == "none" else plan.direction,
        blast=plan.blast if budget is None else blasted(plan, budget_left=max(budget, plan.blast.instances)).blast,
    )
    large = evaluate(policy, operation, plan, tree, now)
    small = evaluate(policy, operation, msgspec.structs.replace(plan, blast=BlastRadius()), tree, now)
    assert (large.gate_class, large.decision) == (small.gate_class, small.decision)


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_controllers_scaling_inside_its_limits_is_class_0_by_default(direction: Any) -> None:
    plan = Plan(
        operation="slice.scale",
        subject="slice:orders",
        summary="",
        changes=(),
        direction=direction,
        step_share=0.5,
        blast=BlastRadius(instances=5, capacity_share=0.5, budget_left=5),
    )
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
    quiet = Circumstances(now_unix_ms=NOW)
    assert evaluate(default_policy(), SCALE, plan, tree, quiet).decision == "act"
    for beyond in (
        msgspec.structs.replace(plan, step_share=0.6 if direction == "in" else 10.1),
        msgspec.structs.replace(plan, within_bounds=False),
        msgspec.structs.replace(
            plan, direction="in", blast=BlastRadius(instances=6, capacity_share=0.5, budget_left=5)
        ),
    ):
        assert evaluate(default_policy(), SCALE, beyond, tree, quiet).decision == "propose"


@pytest.mark.parametrize(("direction", "most"), [("out", 4), ("in", 1)])
def test_a_few_instances_are_a_small_step_however_few_there_are(direction: Any, most: int) -> None:
    """Else a controller would need an approval to go from one instance to two."""
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
    for instances, decision in ((most, "act"), (most + 1, "propose")):
        blast = BlastRadius(instances=instances, budget_left=9)
        plan = msgspec.structs.replace(plan_of(direction), blast=blast, step_share=20.0)
        found = evaluate(default_policy(), SCALE, plan, tree, Circumstances(now_unix_ms=NOW))
        assert found.decision == decision


@pytest.mark.parametrize(("turns", "decision"), [(1, "act"), (6, "act"), (7, "propose")])
def test_a_controller_that_turns_again_and_again_takes_nothing_away_any_more(turns: int, decision: str) -> None:
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
    now = Circumstances(now_unix_ms=NOW)
    for number in range(turns):
        now = happened(now, False, "in" if (turns - number) % 2 == 0 else "out")
    assert evaluate(default_policy(), SCALE, plan_of("in"), tree, now).decision == decision
    assert evaluate(default_policy(), SCALE, plan_of("out"), tree, now).decision == "act"


def test_starts_that_are_taken_back_are_no_turns_and_cost_no_budget() -> None:
    """Else spares that nobody needs any more would wait for people, and be paid for meanwhile."""
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
    now = Circumstances(now_unix_ms=NOW)
    for number in range(7):
        now = happened(now, False, "in" if number % 2 else "out")
    blast = BlastRadius(instances=5, capacity_share=0.5, budget_left=0)
    back = msgspec.structs.replace(plan_of("in"), blast=blast, step_share=0.5, stops=0)
    assert evaluate(default_policy(), SCALE, back, tree, now).decision == "act"
    assert evaluate(default_policy(), SCALE, msgspec.structs.replace(back, stops=1), tree, now).decision == "propose"
    own = [msgspec.structs.replace(each, took_back=each.direction == "in") for each in now.recent["slice:orders"]]
    calm = msgspec.structs.replace(now, recent={"slice:orders": tuple(own)})
    assert evaluate(default_policy(), SCALE, plan_of("in"), tree, calm).decision == "act"


def test_an_incident_holds_back_a_controllers_scaling_in_and_never_out() -> None:
    """More instances are what an incident may need, and while nobody is awake to approve them."""
    tree = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
    now = Circumstances(now_unix_ms=NOW, incident="orders fail")
    decisions = {
        direction: evaluate(default_policy(), SCALE, plan_of(direction), tree, now).decision
        for direction in ("out", "in")
    }
    assert decisions == {"out": "act", "in": "propose"}


def plan_of(direction: Any) -> Plan:
    return Plan(
        operation="slice.scale",
        subject="slice:orders",
        summary="",
        changes=(),
        direction=direction,
        step_share=0.2,
        blast=BlastRadius(instances=1, capacity_share=0.2, budget_left=5),
    )


@pytest.mark.parametrize(
    ("kind", "decision"),
    [("person", "act"), ("automation", "propose"), ("controller", "propose"), ("playbook", "propose")],
)
def test_a_subject_that_is_changed_again_and_again_is_looked_at_by_a_person(kind: str, decision: str) -> None:
    """A loop gone wrong must not go on all night because each of its steps is harmless."""
    actor = Actor(kind=ActorKind(kind), id="x", role=Role.OPERATOR)
    restart = msgspec.structs.replace(plan_of("none"), operation="slice.restart")
    most = default_policy().limits.changes_unattended
    for at, times, expected in (
        (NOW - 1_000, most, decision),
        (NOW - 1_000, most - 1, "act"),
        (NOW - 601_000, most, "act"),
    ):
        change = RecentChange(at_unix_ms=at, actor="y", by_agent=False, operation="slice.restart")
        now = Circumstances(now_unix_ms=NOW, recent={"slice:orders": (change,) * times})
        assert evaluate(default_policy(), SCALE, restart, actor, now).decision == expected


def test_the_cautious_policy_lets_nothing_happen_at_once() -> None:
    plan = Plan(operation="slice.scale", subject="slice:orders", summary="", changes=())
    for kind, role in itertools.product(ActorKind, Role):
        actor = Actor(kind=kind, id="x", role=role)
        verdict = evaluate(cautious_policy(), SCALE, plan, actor, Circumstances(now_unix_ms=NOW))
        assert verdict.decision != "act"
        assert verdict.decision == "refuse" or verdict.asks.approvers == 2


@given(st.lists(changes, max_size=60))
def test_what_others_do_never_pushes_out_what_agents_did(made: list[RecentChange]) -> None:
    kept = RecentChanges()
    for each in made:
        kept = with_change(kept.changes, each)
    for by_agent in (True, False):
        mine = [each for each in made if each.by_agent is by_agent][-RECENT_MAX:]
        assert [each for each in kept.changes if each.by_agent is by_agent] == mine


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ProposalState, ProposalEvent)))
def test_every_state_and_event_has_one_next_state_or_is_refused(state: ProposalState, event: ProposalEvent) -> None:
    """What has ended stays ended, but for an applied one rolled back; nothing is applied that is not approved."""
    if (state, event) not in MOVES:
        with pytest.raises(IllegalMove):
            advance(state, event)
        return
    after = advance(state, event)
    waits = (ProposalState.PENDING, ProposalState.APPROVED)
    assert state in waits or (state, after) == (ProposalState.APPLIED, ProposalState.ROLLED_BACK)
    assert after is not ProposalState.APPLIED or state is ProposalState.APPROVED
    assert (after is ProposalState.APPROVED) == (event is ProposalEvent.APPROVED)


def test_from_every_state_that_waits_each_end_can_be_reached() -> None:
    ends = {after for (state, _), after in MOVES.items() if state is ProposalState.APPROVED}
    assert ends == set(ProposalState) - {ProposalState.APPROVED, ProposalState.ROLLED_BACK}
