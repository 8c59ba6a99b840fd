"""Answers about the gate: proposals, the audit, the policy, freezes, incidents, principals and keys."""

from __future__ import annotations

from typing import Final

import msgspec

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, ExplainRefused, NotFound
from agent_api.control_api.waiting import convergence_of
from controllers.gate.audit import AuditRecord, ChainedRecord
from controllers.gate.policy import default_text
from controllers.gate.proposals import Proposal, read_proposal
from controllers.gate.queries import (
    AuditListRequest,
    AuditPage,
    ExplainRequest,
    FreezeListRequest,
    FreezePage,
    FreezeRow,
    GateExplained,
    IncidentListRequest,
    IncidentPage,
    IncidentRow,
    KeyListRequest,
    KeyPage,
    KeyRow,
    PolicyRequest,
    PolicyShown,
    PrincipalListRequest,
    PrincipalPage,
    PrincipalRow,
    ProposalDiff,
    ProposalDiffRequest,
    ProposalListRequest,
    ProposalPage,
    ProposalRequest,
    ProposalRow,
    ProposalShown,
)
from controllers.gate.reading import audit_head, chained_before, find_proposal
from controllers.gate.uncut import WholeProposal, unpacked
from controllers.gate.verdict import GateClass
from runtime.operations.actor import Actor, ActorKind, Role, at_least
from runtime.operations.dispatch import Planned, Refused, Submission
from runtime.operations.queries.page import CursorInvalid, cursor_of, page_of, place_of
from runtime.security.principals import (
    ADMIN,
    PrincipalRecord,
    actor_of,
    bootstrap_admin,
    decode_key,
    decode_principal,
    key_id,
)
from runtime.spelling import nearest
from runtime.state import keys

KINDS: Final = {
    "person": ActorKind.PERSON,
    "automation": ActorKind.AUTOMATION,
    "agent": ActorKind.AUTOMATION,
    "controller": ActorKind.CONTROLLER,
    "playbook": ActorKind.PLAYBOOK,
    "model": ActorKind.MODEL,
}


class GateAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._cache = parts.view.cache

    async def proposals(self, request: ProposalListRequest, _actor: Actor) -> ProposalPage:
        found = (read_proposal(item.value) for item in self._cache.items(keys.PROPOSALS))
        wanted = (each for each in found if each is not None and _is_wanted(each, request))
        page, cursor = page_of(wanted, lambda each: (each.id,), request, newest_first=True)
        return ProposalPage(items=tuple(_proposal_row(each) for each in page), next=cursor)

    async def proposal(self, request: ProposalRequest, _actor: Actor) -> ProposalShown:
        proposal = find_proposal(self._cache, request.id)
        live = proposal.waits and self._cache.get(keys.proposal_live(request.id)) is not None
        now = convergence_of(self._cache, self._parts.catalogue, request.id)
        if now is None:
            return ProposalShown(proposal=proposal, live=live)
        return ProposalShown(proposal=proposal, live=live, converged=now.done, waits_for=now.waits_for)

    async def proposal_diff(self, request: ProposalDiffRequest, _actor: Actor) -> ProposalDiff:
        proposal = find_proposal(self._cache, request.id)
        item = self._cache.get(keys.proposal_whole(request.id))
        whole = unpacked(item.value, WholeProposal) if item is not None else None
        rows = enumerate(whole.diff if whole is not None else proposal.diff)
        page, cursor = page_of(rows, lambda row: (row[0],), request)
        return ProposalDiff(items=tuple(row for _, row in page), next=cursor)

    async def audit(self, request: AuditListRequest, _actor: Actor) -> AuditPage:
        """Of what the store holds. Raises CursorInvalid."""
        head = await audit_head(self._parts.store)
        before = _number(request.cursor) if request.cursor else head.number + 1
        found: list[ChainedRecord] = []
        async for each in chained_before(self._parts.store, before, head.sealed):
            if _is_asked_for(each.record, request):
                found.append(each)
            if len(found) > request.limit:
                break
        page = found[: request.limit]
        cursor = cursor_of((page[-1].number,)) if len(found) > len(page) else ""
        return AuditPage(items=tuple(page), next=cursor, sealed=head.sealed)

    async def policy(self, request: PolicyRequest, _actor: Actor) -> PolicyShown:
        item = self._cache.get(keys.POLICY) if not request.default else None
        if item is None:
            return PolicyShown(policy=default_text(), is_default=True, changed_revision=0)
        return PolicyShown(policy=item.value.decode(), is_default=False, changed_revision=int(item.mod_revision))

    async def freezes(self, request: FreezeListRequest, _actor: Actor) -> FreezePage:
        page, cursor = page_of(self._cache.items(keys.FREEZES), lambda item: (item.key,), request)
        rows = (FreezeRow(subject=item.key.removeprefix(keys.FREEZES), why=item.value.decode()) for item in page)
        return FreezePage(items=tuple(rows), next=cursor)

    async def incidents(self, request: IncidentListRequest, _actor: Actor) -> IncidentPage:
        page, cursor = page_of(self._cache.items(keys.INCIDENTS), lambda item: (item.key,), request)
        rows = (IncidentRow(subject=item.key.removeprefix(keys.INCIDENTS), why=item.value.decode()) for item in page)
        return IncidentPage(items=tuple(rows), next=cursor)

    async def principals(self, request: PrincipalListRequest, _actor: Actor) -> PrincipalPage:
        """The first node's admin is one although no record says so."""
        records = [decode_principal(item.value) for item in self._cache.items(keys.PRINCIPALS)]
        if all(each.id != ADMIN for each in records):
            records.append(PrincipalRecord(id=ADMIN, kind="person", role=Role.ADMIN))
        page, cursor = page_of(records, lambda each: (each.id,), request)
        rows = (msgspec.convert(each, PrincipalRow, from_attributes=True) for each in page)
        return PrincipalPage(items=tuple(rows), next=cursor)

    async def api_keys(self, request: KeyListRequest, _actor: Actor) -> KeyPage:
        records = [decode_key(item.value) for item in self._cache.items(keys.API_KEYS)]
        page, cursor = page_of(records, lambda each: (each.principal, each.name, each.sha256), request)
        rows = (
            KeyRow(
                id=key_id(each.sha256),
                principal=each.principal,
                name=each.name,
                created_unix_ms=each.created_unix_ms,
                expires_unix_ms=each.expires_unix_ms,
                role=each.role,
                only=each.only,
            )
            for each in page
        )
        return KeyPage(items=tuple(rows), next=cursor)

    async def explain(self, request: ExplainRequest, actor: Actor) -> GateExplained:
        """A dry run as somebody else. Raises Declined with what the planner or the gate said."""
        supposed = self._supposed(request.as_, actor)
        submission = Submission(
            operation=request.operation,
            request=request.request,
            actor=supposed,
            dry_run=True,
            tainted=request.tainted,
        )
        outcome = await self._parts.dispatcher.submit(submission)
        if isinstance(outcome, Refused):
            raise Declined(outcome)
        assert isinstance(outcome, Planned), "a dry run is planned or refused"
        return GateExplained(actor=supposed.id, allowed=outcome.plan.decision, plan=outcome.plan)

    def _supposed(self, name: str, actor: Actor) -> Actor:
        if name in ("", actor.id):
            return actor
        kind = KINDS.get(name)
        if kind is not None:
            behind = actor if kind in (ActorKind.MODEL, ActorKind.PLAYBOOK) else None
            return Actor(kind=kind, id=f"any {name}", role=actor.role, is_agent=name == "agent", behind=behind)
        if not at_least(actor.role, Role.ADMIN):
            raise ExplainRefused("what others may do is shown to admins only")
        item = self._cache.get(keys.principal(name))
        if item is not None and (found := actor_of(decode_principal(item.value))) is not None:
            return found
        if name == ADMIN:
            return bootstrap_admin()
        known = [keys.parts(each.key)[0] for each in self._cache.items(keys.PRINCIPALS)]
        raise NotFound(f"there is no active principal {name!r}{nearest(name, [*known, *KINDS])}")


def _is_wanted(proposal: Proposal, request: ProposalListRequest) -> bool:
    return request.state in (None, proposal.state) and _is_about(proposal.subject, request.subject)


def _is_asked_for(record: AuditRecord, request: AuditListRequest) -> bool:
    return (
        _is_about(record.subject, request.subject)
        and request.actor in ("", *(link.id for link in record.actor.chain()))
        and request.kind in ("", record.kind)
        and request.operation in ("", record.operation)
        and request.record in ("", record.id)
    )


def _is_about(subject: str, wanted: str) -> bool:
    return wanted in ("", subject)


def _proposal_row(proposal: Proposal) -> ProposalRow:
    return ProposalRow(
        id=proposal.id,
        state=proposal.state,
        operation=proposal.call.operation,
        subject=proposal.subject,
        summary=proposal.summary,
        actor=proposal.actor.id,
        reason=proposal.reason,
        gate_class=GateClass(proposal.gate_class).name,
        approvers=proposal.needs.words(),
        approvals=sum(each.approve for each in proposal.votes),
        created_unix_ms=proposal.created_unix_ms,
        expires_unix_ms=proposal.expires_unix_ms,
        ended=proposal.ended,
    )


def _number(cursor: str) -> int:
    match place_of(cursor):
        case (int(number),):
            return number
    raise CursorInvalid("the cursor is of another list")
