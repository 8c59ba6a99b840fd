"""What the gate's parts share: the state, the catalogue, the clock, and how a request is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from controllers.gate.circumstances import (
    LIMITED_MAX,
    Circumstances,
    busy_in,
    domains_of,
    frozen_because,
    incident_at,
    is_newest_own,
    recent_changes,
    touched,
)
from controllers.gate.errors import PolicyInvalid
from controllers.gate.evaluate import evaluate
from controllers.gate.policy import Policy, cautious_policy, default_policy, parse_policy
from controllers.gate.proposals import Proposal, read_proposal
from controllers.gate.verdict import Needs, Verdict
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Revision, Store
from runtime.deployment.records import Snapshot
from runtime.operations.actor import Actor, ActorKind
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.choices import choice_hint
from runtime.operations.operation import AnyChange, Request
from runtime.operations.plan import Call, Plan, Refusal, effect_hash
from runtime.operations.secrecy import told_request
from runtime.operations.state import PlanState
from runtime.security.principals import ADMIN, PrincipalRecord, actor_behind, bootstrap_admin, decode_principal
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
    undo: Call | None = None
    """The plan's inverse, as it may be told."""

    def effect(self, approvers: Needs | None = None) -> str:
        """What an approval is bound to; `approvers`: of those, not of who would have to approve now."""
        return effect_hash(self.plan, (approvers or self.verdict.asks).words())


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
        self._policy: tuple[int, Policy] | None = None

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
                detail=f"{operation.name}: {error}{choice_hint(operation.request, call.request, error)}",
                remedy=f"GET /v1/operations/{operation.name} has the schema.",
            )

    def judge(
        self,
        state: PlanState,
        call: Call,
        actor: Actor,
        *,
        tainted: bool,
        applying: str = "",
        takes_back: str = "",
    ) -> Judged | Refusal:
        """Plans and judges on `state`, which notes everything that either was made from.

        applying: the proposal that it is judged for, if it waits already. takes_back: the audit record of the actor's
        own change that it is the inverse of.
        """
        operation = self.catalogue.change(call.operation)
        request = self.request_of(operation, call)
        if isinstance(request, Refusal):
            return request
        plan = operation.permits(state, request, actor) or operation.plan(state, request)
        if isinstance(plan, Refusal):
            return plan
        policy = self.policy(state)
        circumstances = self._circumstances(state, operation, plan, actor, tainted=tainted, applying=applying)
        if takes_back and is_newest_own(circumstances.recent.get(plan.subject, ()), takes_back, actor):
            circumstances = msgspec.structs.replace(circumstances, takes_back=True)
        verdict = evaluate(policy, operation, plan, actor, circumstances)
        plan = msgspec.structs.replace(plan, reads=dict(state.reads))
        return Judged(
            operation=operation,
            plan=plan,
            verdict=verdict,
            policy=policy,
            circumstances=circumstances,
            undo=self.told(plan.inverse) if plan.inverse is not None else None,
        )

    def told(self, call: Call) -> Call:
        """A call without what may be secret. Of an operation that nobody knows, that is everything."""
        try:
            operation = self.catalogue.find(call.operation)
        except OperationUnknown:
            operation = None
        return Call(operation=call.operation, request=told_request(operation, call.request))

    def policy(self, state: PlanState) -> Policy:
        """The one in force. One that cannot be read must neither stop everything nor let everything through."""
        item = state.get(keys.POLICY)
        revision = item.mod_revision if item is not None else 0
        if self._policy is None or self._policy[0] != revision:
            try:
                policy = parse_policy(item.value.decode("utf-8", "replace")) if item is not None else default_policy()
            except PolicyInvalid as error:
                self.log.warning("policy_unreadable", reason=str(error))
                policy = cautious_policy()
            self._policy = (revision, policy)
        return self._policy[1]

    def principal(self, state: PlanState, identity: str) -> Actor | None:
        """What that principal may do now; None for one that is not, or whose record this version cannot read."""

        def find(name: str) -> PrincipalRecord | None:
            raw = state.value(keys.principal(name))
            return decode_principal(raw) if raw is not None else None

        try:
            record = find(identity) if identity else None
            if record is not None:
                return actor_behind(record, find)
        except msgspec.DecodeError:
            return None
        return bootstrap_admin() if identity == ADMIN else None

    def voters(self, state: PlanState, proposal: Proposal) -> dict[str, Actor]:
        """Who voted, with what each may do now."""
        found = {vote.voter.id: self.principal(state, vote.voter.id) for vote in proposal.votes}
        return {identity: actor for identity, actor in found.items() if actor is not None}

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
        if now is None or now.behind is not None:
            return now
        return msgspec.structs.replace(now, behind=actor.behind)

    def _circumstances(
        self, state: PlanState, operation: AnyChange, plan: Plan, actor: Actor, *, tainted: bool, applying: str
    ) -> Circumstances:
        domains, subjects = domains_of(state, plan.subject), touched(plan)
        limited = subjects[:LIMITED_MAX] if actor.acts_as_agent else (plan.subject,)
        return Circumstances(
            now_unix_ms=self.clock.unix_ms(),
            recent={each: recent_changes(state, each) for each in limited},
            frozen=frozen_because(state, subjects) if operation.heeds_freeze else "",
            incident=incident_at(state, subjects),
            tainted=tainted,
            touched=len(subjects),
            domains=domains,
            domain_busy=busy_in(state, domains) if actor.acts_as_agent else "",
            pending=0 if applying else sum(each.actor.id == actor.id for each in self.waiting()),
        )

    def waiting(self) -> list[Proposal]:
        """Proposals that wait for votes or for being applied; those that this version cannot read are left out."""
        found = []
        for item in self.state.items(keys.PROPOSALS_OPEN):
            record = self.state.get(keys.proposal(keys.parts(item.key)[0]))
            if record is not None and (proposal := read_proposal(record.value)) is not None:
                found.append(proposal)
        return found
