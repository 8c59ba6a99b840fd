"""A playbook planned step by step: each is planned on the state as those before it would leave it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from controllers.gate.desk import Judged
from playbooks.actions.action import ActionShelf
from playbooks.actions.wait import WAIT
from playbooks.document.checking import Checker
from playbooks.document.model import Document, Step
from playbooks.document.reading import Source
from playbooks.document.templates import expression_of, filled, leaves, rendered, steps_in
from playbooks.errors import ExpressionFailed
from playbooks.expressions.evaluation import evaluated, value_of
from playbooks.expressions.picture import Picture
from playbooks.limits.blast import beyond
from playbooks.ports import PlaybookPorts
from playbooks.queries import PlaybookPlanned, StepPlanned
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor, Role, at_least
from runtime.operations.operation import Effect, Query
from runtime.operations.overlay import Overlay
from runtime.operations.plan import Call, Json, Plan, Refusal, diff, shown
from runtime.operations.secrecy import told_rows
from runtime.operations.state import PlanState

Judge = Callable[[PlanState, Call, Actor], Judged | Refusal]
"""The gate's word on a call, on any picture of the state."""

WITH_EFFECT: Final = ("predicted", "opaque", "refused")


class RunPlanner:
    """`actor`: who would act; the plan says what the gate would say to it."""

    def __init__(self, ports: PlaybookPorts, actions: ActionShelf, judge: Judge) -> None:
        self._ports = ports
        self._actions = actions
        self._judge = judge
        self._checker = Checker(ports.catalogue, actions)

    async def plan(self, source: Source, params: dict[str, Json], actor: Actor) -> PlaybookPlanned:
        document = source.document
        now = self._ports.picture()
        seen: dict[str, Json] = {"params": params, "steps": {}}
        pre = tuple(evaluated(each.cel, now, seen) for each in document.pre)
        ahead = _Ahead(self, source, params, actor)
        steps = [await ahead.step(each) for each in document.step]
        verify = document.verify
        done: dict[str, Json] = {"params": params, "steps": ahead.as_done(steps)}
        last = evaluated(verify.cel, now, done) if verify is not None else None
        changing = [
            each for each in steps if each.state in WITH_EFFECT and self.effect_of(each.uses) is not Effect.READ
        ]
        predicted = sum(each.state == "predicted" for each in changing)
        beyond_role = self._beyond_role(document, actor)
        names = (*document.locks.exclusive, *document.locks.shared)
        return PlaybookPlanned(
            playbook=document.playbook.id,
            version=document.playbook.version,
            sha256=source.sha256,
            params=params,
            locks=tuple(sorted({str(filled(name, params)) for name in names})),
            startable=all(each.holds for each in pre)
            and not any(each.state == "refused" for each in steps)
            and not beyond_role,
            beyond_role=beyond_role,
            predicted=f"{predicted} of {len(changing)}",
            approvals=sum(each.decision == "propose" for each in steps),
            pre=pre,
            steps=tuple(steps),
            verify=last,
        )

    def _beyond_role(self, document: Document, actor: Actor) -> tuple[str, ...]:
        is_admin = all(at_least(each.role, Role.ADMIN) for each in actor.chain())
        return () if is_admin else self._checker.admin_steps(document)

    @property
    def ports(self) -> PlaybookPorts:
        return self._ports

    def effect_of(self, name: str) -> Effect:
        used = self._checker.used(name)
        return used.effect if used is not None else Effect.ONCE

    def predicted(
        self, state: PlanState, name: str, request: dict[str, Json], actor: Actor
    ) -> tuple[Plan, str, str, str] | Refusal | None:
        """Its plan, with the gate's class, decision and rule; None where nobody can predict it."""
        action = self._actions.find(name)
        if action is not None:
            try:
                plan = action.plan(state, msgspec.convert(request, action.input))
            except msgspec.ValidationError as error:
                return Refusal(code="request_invalid", detail=f"{name}: {error}")
            return (plan, "", "act", "") if plan is not None else None
        judged = self._judge(state, Call(operation=name, request=request), actor)
        if isinstance(judged, Refusal):
            return judged
        return judged.plan, judged.verdict.gate_class.name, judged.verdict.decision, judged.verdict.rule

    async def asked(self, name: str, request: dict[str, Json], actor: Actor) -> dict[str, Json] | None:
        """What a question answers now; None of an action, which is not run in a plan."""
        if self._actions.find(name) is not None or not isinstance(self._ports.catalogue.find(name), Query):
            return None
        return await self._ports.asks.ask(name, request, actor)


@dataclass
class _Ahead:
    """The state as the steps so far would leave it, and what they would have come to, as far as that is known."""

    planner: RunPlanner
    source: Source
    params: dict[str, Json]
    actor: Actor
    came_to: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = self.planner.ports
        self._overlay = Overlay(ports.state)
        self._measured, self._standing = ports.measures.measured(), ports.standing()

    def as_done(self, steps: Sequence[StepPlanned]) -> dict[str, Json]:
        """Of the last verification: all steps as if they were done, with what they would come to as far as it is known.
        What then does not hold is the state's doing, and not that nothing was done yet."""
        found: dict[str, Json] = {}
        for step in steps:
            known = self.came_to.get(step.step)
            if step.state != "skipped":
                found[step.step] = {**(known if isinstance(known, dict) else {}), "state": "done"}
        return found

    async def step(self, step: Step) -> StepPlanned:
        effect = self.planner.effect_of(step.uses)
        try:
            return await self._planned(step, effect)
        except _NotKnown as unknown:
            state = "reads" if effect is Effect.READ else "opaque"
            return StepPlanned(step=step.id, uses=step.uses, state=state, why=f"stands on {unknown}")
        except (ExpressionFailed, RuntimeFault) as error:
            return StepPlanned(step=step.id, uses=step.uses, state="refused", why=str(error))

    async def _planned(self, step: Step, effect: Effect) -> StepPlanned:
        if step.when != "true" and not self._wanted(step.when):
            return StepPlanned(step=step.id, uses=step.uses, state="skipped", why=f"not so: {step.when}")
        for _, value in leaves(step.with_):
            self._known(expression_of(value) or "")
        request = msgspec.convert(rendered(step.with_, self.params, self._value), dict[str, Json])
        if effect is Effect.READ:
            return await self._read(step, request)
        found = self.planner.predicted(PlanState(self._overlay), step.uses, request, self.actor)
        if found is None:
            return StepPlanned(step=step.id, uses=step.uses, state="opaque", request=request)
        if isinstance(found, Refusal):
            return StepPlanned(step=step.id, uses=step.uses, state="refused", why=found.detail, request=request)
        return self._predicted(step, request, *found)

    def _predicted(
        self, step: Step, request: dict[str, Json], plan: Plan, gate_class: str, decision: str, rule: str
    ) -> StepPlanned:
        self._overlay.take(plan.changes)
        self.came_to[step.id] = {"state": "done", "summary": plan.summary, "result": plan.result}
        too_much = beyond(self.source.document.limits.blast_radius, plan.blast)
        refused = too_much or (f"the gate refuses it: {rule}" if decision == "refuse" else "")
        return StepPlanned(
            step=step.id,
            uses=step.uses,
            state="refused" if refused else "predicted",
            why=refused,
            summary=plan.summary,
            request=request,
            diff=shown(told_rows(diff(plan))),
            blast=plan.blast,
            gate_class=gate_class,
            decision="propose" if step.approval == "always" and decision == "act" else decision,
        )

    async def _read(self, step: Step, request: dict[str, Json]) -> StepPlanned:
        summary = f"waits {request.get('for')}" if step.uses == WAIT else ""
        answer = await self.planner.asked(step.uses, request, self.actor)
        if answer is not None:
            self.came_to[step.id] = {"state": "done", "result": answer}
        return StepPlanned(step=step.id, uses=step.uses, state="reads", summary=summary, request=request)

    def _wanted(self, text: str) -> bool:
        self._known(text)
        return self._value(text) is True

    def _known(self, text: str) -> None:
        """Raises _NotKnown for what looks at a step of which it is not known what it would come to."""
        for name in steps_in(text):
            if name not in self.came_to:
                raise _NotKnown(f"what {name} comes to")

    def _value(self, text: str) -> Json:
        picture = Picture(self._overlay, self._measured, self._standing)
        return value_of(text, picture, {"params": self.params, "steps": self.came_to})


class _NotKnown(Exception):
    """What a step stands on is known only in a run."""
