"""The decision: a pure function of policy, operation, plan, actor and circumstances."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from controllers.gate.circumstances import LIMITED_MAX, Circumstances
from controllers.gate.policy import Kinds, Policy
from controllers.gate.verdict import GateClass, Needs, Verdict
from runtime.operations.actor import Actor, ActorKind, at_least
from runtime.operations.operation import AnyChange, Risk
from runtime.operations.plan import Plan

MINUTE_MS: Final = 60_000
STEP_OUT_MIN: Final = 4  # instances that a controller may add at once however few there are
_OPPOSITE: Final = {"out": "in", "in": "out"}


def evaluate(policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances) -> Verdict:
    """Act now, needs approvals, or refuse, and the rule that said so. No clock, no I/O; well under 100 µs."""
    refusal = _refused(policy, operation, plan, actor, now)
    if refusal is not None:
        return refusal
    kinds = _kinds(policy, actor)
    base = _base(kinds, operation.risk)
    raised = [(base, f"{operation.risk} risk for {_who(actor)}")]
    raised += [(GateClass(number), why) for number, why in _raises(policy, operation, plan, actor, now)]
    gate_class = max(number for number, _ in raised)
    rule = next(why for number, why in raised if number == gate_class)
    because = tuple(why for number, why in raised[1:] if why != rule and number > base)
    if gate_class is GateClass.G3 and not _may_wait_for_people(actor):
        return _refuse(gate_class, rule, "Ask a person to do it.", because)
    asks, expires_ms = _consent(policy, operation, gate_class)
    acts = gate_class <= kinds.acts_up_to or (plan.agents_may and actor.acts_as_agent and gate_class <= base)
    if not acts and now.pending >= policy.limits.pending:
        return too_many_waiting(actor, now)
    return Verdict(
        gate_class=gate_class,
        decision="act" if acts else "propose",
        needs=Needs() if acts else asks,
        rule=rule,
        because=because,
        asks=asks,
        expires_ms=expires_ms,
    )


def too_many_waiting(actor: Actor, now: Circumstances) -> Verdict:
    rule = f"{now.pending} proposals of {actor.id} wait already"
    return _refuse(GateClass.G3, rule, "Wait until some are decided, or withdraw some.", retryable=True)


def _may_wait_for_people(actor: Actor) -> bool:
    """With what class 3 keeps from agents, controllers and playbooks."""
    return actor.kind in (ActorKind.PERSON, ActorKind.AUTOMATION) and not actor.acts_as_agent


def _consent(policy: Policy, operation: AnyChange, gate_class: GateClass) -> tuple[Needs, int]:
    """Who must approve a change of that class (G1 at least), and for how long it waits, in milliseconds. Nobody
    approves what they may not do themselves."""
    approval = policy.g1 if gate_class <= GateClass.G1 else policy.g2
    role = approval.role if at_least(approval.role, operation.role) else operation.role
    needs = Needs(approvers=approval.approvers, role=role, owner=approval.owner)
    return needs, approval.expires_min * MINUTE_MS


def _refused(policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances) -> Verdict | None:
    subject = plan.subject
    if not actor.may(operation.role, subject):
        rule = f"{operation.name} needs the role {operation.role}, and {actor.id} is {actor.role}"
        return _refuse(GateClass.G3, rule, "Ask an admin for the role, or for a key that has it.")
    lacking = next((each for each in actor.chain() if not each.may(operation.role, subject)), None)
    if lacking is not None:
        rule = f"{actor.id} acts for {lacking.id}, who may not do this"
        return _refuse(GateClass.G3, rule, "Ask somebody who has the role.")
    if not actor.acts_as_agent:
        return None
    return _limited(policy, now)


def _limited(policy: Policy, now: Circumstances) -> Verdict | None:
    """What keeps an agent waiting: how often, and one at a time in a failure domain."""
    limits, since = policy.limits, now.now_unix_ms - policy.limits.window_min * MINUTE_MS
    if now.touched > LIMITED_MAX:
        rule = f"it changes {now.touched} slices and nodes at once, and an agent may change {LIMITED_MAX}"
        return _refuse(GateClass.G3, rule, "Change fewer at once, or ask a person.")
    for subject, changes in now.recent.items():
        lately = sum(each.by_agent and each.at_unix_ms >= since for each in changes)
        if lately >= limits.changes_per_subject:
            rule = (
                f"agents changed {subject} {lately} times in {limits.window_min} minutes, and may"
                f" {limits.changes_per_subject} times"
            )
            return _refuse(GateClass.G3, rule, "Wait, or ask a person.", retryable=True)
    if limits.one_at_a_time_per_domain and now.domain_busy:
        rule = f"another agent's change is under way there: {now.domain_busy}"
        return _refuse(GateClass.G3, rule, "Wait for it.", retryable=True)
    return None


def _refuse(
    gate_class: GateClass, rule: str, remedy: str, because: tuple[str, ...] = (), *, retryable: bool = False
) -> Verdict:
    return Verdict(
        gate_class=gate_class,
        decision="refuse",
        needs=Needs(),
        rule=rule,
        because=because,
        remedy=remedy,
        retryable=retryable,
    )


def _kinds(policy: Policy, actor: Actor) -> Kinds:
    if actor.acts_as_agent:
        return policy.agents
    if actor.kind is ActorKind.PERSON:
        return policy.people
    return policy.automation if actor.kind is ActorKind.AUTOMATION else policy.controllers


def _who(actor: Actor) -> str:
    return "an agent" if actor.acts_as_agent else f"a {actor.kind}" if actor.kind != "automation" else "a key"


def _base(kinds: Kinds, risk: Risk) -> GateClass:
    return GateClass(
        {Risk.LOW: kinds.low, Risk.MEDIUM: kinds.medium, Risk.HIGH: kinds.high, Risk.CRITICAL: kinds.critical}[risk]
    )


def _raises(
    policy: Policy, operation: AnyChange, plan: Plan, actor: Actor, now: Circumstances
) -> Iterator[tuple[int, str]]:
    """(class, why) of every circumstance that holds."""
    raises, blast = policy.raises, plan.blast
    least = policy.operations.get(operation.name)
    if least is not None:
        yield least, f"the policy puts {operation.name} at class {least}"
    if _is_controllers_own(policy, plan, actor):
        if plan.direction == "out" and now.incident:
            now = msgspec.structs.replace(now, incident="")  # more instances is what an incident may need at once
        turns = _turns(policy, plan, now)
        if plan.direction == "in" and plan.stops != 0 and turns > policy.limits.turns:
            yield raises.flapping, f"it turned {turns} times within {policy.limits.flapping_min} minutes"
        yield from _moment(policy, plan, msgspec.structs.replace(now, recent={}))  # a turn or two is its work
        return
    share = f"{blast.capacity_share:.0%} of the capacity goes away"
    if blast.capacity_share > raises.capacity_share_g2:
        yield 2, share
    elif blast.capacity_share > raises.capacity_share_g1:
        yield 1, share
    if len(blast.nodes) >= raises.nodes_g2 > 0:
        yield 2, f"{len(blast.nodes)} nodes are touched"
    if blast.budget_left is not None and plan.blast.capacity_share > 0 and _gone(plan) > blast.budget_left:
        yield raises.budget_exceeded, "fewer instances than min_available would serve"
    if blast.capacity_share >= 1.0 and blast.dependants:
        yield raises.dependants_lose_all, f"{', '.join(blast.dependants)} would be without what they need"
    if actor.kind is not ActorKind.PERSON and not plan.within_bounds:
        yield 1, "it goes beyond the blueprint's bounds"
    if actor.kind is ActorKind.CONTROLLER and not _is_small(policy, plan):
        yield 1, f"a step of {plan.step_share:.0%}; controllers act up to {_step_max(policy, plan):.0%}"
    if actor.kind is not ActorKind.PERSON and (count := _lately(policy, plan, now)) >= policy.limits.changes_unattended:
        yield raises.rate, f"{plan.subject} was changed {count} times in {policy.limits.window_min} minutes"
    yield from _moment(policy, plan, now)


def _lately(policy: Policy, plan: Plan, now: Circumstances) -> int:
    since = now.now_unix_ms - policy.limits.window_min * MINUTE_MS
    return sum(each.at_unix_ms >= since for each in now.recent.get(plan.subject, ()))


def _is_controllers_own(policy: Policy, plan: Plan, actor: Actor) -> bool:
    """A controller's scaling, out or in, inside bounds, step and disruption budget: what it is there for."""
    budget = plan.blast.budget_left
    return (
        actor.kind is ActorKind.CONTROLLER
        and not actor.acts_as_agent
        and plan.direction != "none"
        and plan.within_bounds
        and _is_small(policy, plan)
        and (budget is None or _gone(plan) <= budget)
    )


def _step_max(policy: Policy, plan: Plan) -> float:
    return policy.limits.step_out_share if plan.direction == "out" else policy.limits.step_share


def _is_small(policy: Policy, plan: Plan) -> bool:
    """A step of a controller's scaling: of few instances any share is much."""
    always = {"out": STEP_OUT_MIN, "in": 1}.get(plan.direction, 0)
    return plan.step_share <= _step_max(policy, plan) or 0 < plan.blast.instances <= always


def _turns(policy: Policy, plan: Plan, now: Circumstances) -> int:
    """How often the subject's scaling changed its direction lately, with this change. Starts that were taken back
    before they served are no turns."""
    since = now.now_unix_ms - policy.limits.flapping_min * MINUTE_MS
    lately = now.recent.get(plan.subject, ())
    turning = (each for each in lately if each.direction != "none" and not each.took_back)
    ways = [each.direction for each in turning if each.at_unix_ms >= since]
    return sum(one != other for one, other in pairwise([*ways, plan.direction]))


def _gone(plan: Plan) -> int:
    """Instances that stop serving at once."""
    if plan.stops is not None:
        return plan.stops
    return 0 if plan.direction == "out" else plan.blast.instances if plan.direction == "in" else 1


def _moment(policy: Policy, plan: Plan, now: Circumstances) -> Iterator[tuple[int, str]]:
    raises = policy.raises
    if now.frozen:
        yield raises.freeze, f"changes are frozen: {now.frozen}"
    if now.incident:
        yield raises.incident, f"an incident is open at {plan.subject}: {now.incident}"
    if now.tainted:
        yield raises.tainted, "the evidence holds text from outside"
    since = now.now_unix_ms - policy.limits.flapping_min * MINUTE_MS
    opposite = _OPPOSITE.get(plan.direction) if not now.takes_back else None
    lately = now.recent.get(plan.subject, ())
    if opposite and any(each.direction == opposite and each.at_unix_ms >= since for each in lately):
        yield raises.flapping, f"the opposite was done within {policy.limits.flapping_min} minutes"
