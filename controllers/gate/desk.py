"""What the gate's parts share: the state, the catalogue, the clock, and how a request is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from controllers.gate.circumstances import (
    Circumstances,
    busy_in,
    domain_of,
    frozen_because,
    incident_at,
    recent_changes,
)
from controllers.gate.evaluate import evaluate
from controllers.gate.policy import Policy, default_policy, parse_policy
from controllers.gate.proposals import Proposal
from controllers.gate.verdict import Verdict
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Revision, Store
from runtime.deployment.records import Snapshot
from runtime.operations.actor import Actor, ActorKind
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import AnyChange, Request
from runtime.operations.plan import Call, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.security.principals import ADMIN, actor_of, bootstrap_admin, decode_principal
from runtime.state import keys

ATTEMPTS_MAX: Final = 8  # plannings of one change whose state changed meanwhile


class Current(Snapshot, Protocol):
    """A cache of the state that can be asked to be current."""

    async def confirmed(self) -> Revision: ...

    async def wait_for(self, revision: Revision) -> None: ...


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A request on the present state: its plan, the verdict, and what both were made from."""

    operation: AnyChange
    plan: Plan
    verdict: Verdict
    policy: Policy
    circumstances: Circumstances


class GateDesk:
    """`fence` gives the revision that this node's leadership began at, or None when it does not lead."""

    def __init__(
        self,
        *,
        store: Store,
        state: Current,
        catalogue: Catalogue,
        clock: Clock,
        new_id: Callable[[], str],
        fence: Callable[[], Revision | None],
        log: Lines,
    ) -> None:
        self.store = store
        self.state = state
        self.catalogue = catalogue
        self.clock = clock
        self.new_id = new_id
        self.log = log
        self._fence = fence
        self._policy: tuple[int, Policy] = (0, default_policy())

    def fence(self) -> Revision:
        """Raises NotLeader."""
        fence = self._fence()
        if fence is None:
            raise NotLeader("")
        return fence

    def request_of(self, operation: AnyChange, call: Call) -> Request | Refusal:
        try:
            return msgspec.convert(call.request, operation.request)
        except msgspec.ValidationError as error:
            return Refusal(
                code="request_invalid",
                detail=f"{operation.name}: {error}",
                remedy=f"GET /v1/operations/{operation.name} has the schema.",
            )

    def judge(self, state: PlanState, call: Call, actor: Actor, *, tainted: bool) -> Judged | Refusal:
        """Plans and judges on `state`, which notes everything that either was made from."""
        operation = self.catalogue.change(call.operation)
        request = self.request_of(operation, call)
        if isinstance(request, Refusal):
            return request
        plan = operation.plan(state, request)
        if isinstance(plan, Refusal):
            return plan
        policy = self.policy(state)
        circumstances = self._circumstances(state, plan, actor, tainted=tainted)
        verdict = evaluate(policy, operation, plan, actor, circumstances)
        plan = msgspec.structs.replace(plan, reads=dict(state.reads))
        return Judged(operation=operation, plan=plan, verdict=verdict, policy=policy, circumstances=circumstances)

    def policy(self, state: PlanState) -> Policy:
        item = state.get(keys.POLICY)
        if item is None:
            return default_policy() if self._policy[0] else self._policy[1]
        if self._policy[0] != item.mod_revision:
            self._policy = (item.mod_revision, parse_policy(item.value.decode()))
        return self._policy[1]

    def principal(self, state: PlanState, identity: str) -> Actor | None:
        """What that principal may do now."""
        raw = state.value(keys.principal(identity))
        if raw is not None:
            return actor_of(decode_principal(raw))
        return bootstrap_admin() if identity == ADMIN else None

    def still(self, state: PlanState, actor: Actor) -> Actor | None:
        """The same actor with what it may do now; None when it, or who it acts for, is no principal any more."""
        if actor.behind is not None:
            behind = self.still(state, actor.behind)
            if behind is None:
                return None
            actor = msgspec.structs.replace(actor, behind=behind)
        if actor.kind not in (ActorKind.PERSON, ActorKind.AUTOMATION):
            return actor
        now = self.principal(state, actor.id)
        return None if now is None else msgspec.structs.replace(now, behind=actor.behind)

    def _circumstances(self, state: PlanState, plan: Plan, actor: Actor, *, tainted: bool) -> Circumstances:
        waiting = [each for each in self.proposals() if each.waits]
        domain = domain_of(state, plan.subject)
        return Circumstances(
            now_unix_ms=self.clock.unix_ms(),
            recent=recent_changes(state, plan.subject),
            frozen=frozen_because(state, plan.subject),
            incident=incident_at(state, plan.subject),
            tainted=tainted,
            domain=domain,
            domain_busy=busy_in(state, domain) if actor.acts_as_agent else "",
            pending=sum(each.actor.id == actor.id for each in waiting),
        )

    def proposals(self) -> list[Proposal]:
        return [msgspec.json.decode(item.value, type=Proposal) for item in self.state.items(keys.PROPOSALS)]
