"""What can be asked about the gate: proposals, the audit, the policy, freezes, incidents, and who may do what."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.gate.audit import ChainedRecord
from controllers.gate.proposals import Proposal, ProposalState
from runtime.operations.actor import Role
from runtime.operations.dispatch import PlanView
from runtime.operations.operation import Request, Result
from runtime.operations.plan import FieldChange, Json
from runtime.operations.queries.operations import OperationField
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs

ProposalField = Annotated[str, Meta(min_length=1, max_length=40, description="Id of a proposal.")]
SubjectField = Annotated[str, Meta(max_length=200, description='Only of this subject, as "slice:orders".')]
PrincipalField = Annotated[str, Meta(max_length=100, description="Only of this actor.")]
PageLimit = Annotated[int, Meta(ge=1, le=1_000, description="Most items of one page.")]


class ProposalListRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first."""

    limit: PageLimit = 100
    state: Annotated[ProposalState | None, Meta(description="Only in this state.")] = None
    subject: SubjectField = ""


class ProposalRow(Row, frozen=True, kw_only=True):
    id: str
    state: ProposalState
    operation: str
    subject: str
    summary: str
    actor: str
    reason: str
    gate_class: str
    approvers: Annotated[str, Meta(description="Who must approve, in words.")]
    approvals: Annotated[int, Meta(description="Votes for it so far, whether or not they count in the end.")]
    created_unix_ms: UnixMs
    expires_unix_ms: UnixMs
    ended: str


class ProposalPage(Page, frozen=True, kw_only=True):
    items: tuple[ProposalRow, ...]


class ProposalRequest(Request, frozen=True, kw_only=True):
    id: ProposalField


class ProposalShown(Result, frozen=True, kw_only=True):
    proposal: Proposal
    live: Annotated[bool, Meta(description="It may still be decided or applied.")]
    converged: Annotated[
        bool | None,
        Meta(description="Of an applied one: it has taken hold. Null before, and where nobody knows."),
    ] = None
    waits_for: Annotated[str, Meta(description="What is missing until it has.")] = ""


class ProposalDiffRequest(PageRequest, frozen=True, kw_only=True):
    """In the order of the keys that change."""

    id: ProposalField
    limit: PageLimit = 100


class ProposalDiff(Page, frozen=True, kw_only=True):
    """Every member that changes, its values uncut but for what may be secret."""

    items: tuple[FieldChange, ...]


class AuditListRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first, of the records that the store holds; an export has all."""

    limit: PageLimit = 100
    subject: SubjectField = ""
    actor: PrincipalField = ""
    kind: Annotated[str, Meta(max_length=40, description="Only of this kind, as applied.")] = ""
    operation: Annotated[str, Meta(max_length=80, description="Only of this operation.")] = ""
    record: Annotated[str, Meta(max_length=40, description="Only the record of this id.")] = ""


class AuditPage(Page, frozen=True, kw_only=True):
    """`sealed` is the number of the newest record that only an export has."""

    items: tuple[ChainedRecord, ...]
    sealed: int


class PolicyRequest(Request, frozen=True, kw_only=True):
    default: Annotated[bool, Meta(description="The one that holds while none is set, to begin from.")] = False


class PolicyShown(Result, frozen=True, kw_only=True):
    policy: Annotated[str, Meta(description="As TOML.")]
    is_default: Annotated[bool, Meta(description="It is the default, not one that was set.")]
    changed_revision: Annotated[int, Meta(description="When it was set; 0 for the default.")]


class FreezeListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class FreezeRow(Row, frozen=True, kw_only=True):
    subject: Annotated[str, Meta(description='"cluster", or the subject that it is for.')]
    why: str


class FreezePage(Page, frozen=True, kw_only=True):
    items: tuple[FreezeRow, ...]


class IncidentListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class IncidentRow(Row, frozen=True, kw_only=True):
    subject: str
    why: str


class IncidentPage(Page, frozen=True, kw_only=True):
    items: tuple[IncidentRow, ...]


class PrincipalListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class PrincipalRow(Row, frozen=True, kw_only=True):
    id: str
    kind: str
    role: Role
    owns: tuple[str, ...]
    only: tuple[str, ...]
    is_agent: bool
    acts_for: Annotated[str, Meta(description="Of an automation: the person it acts for.")]
    disabled: bool
    oidc_subject: str
    created_unix_ms: UnixMs


class PrincipalPage(Page, frozen=True, kw_only=True):
    items: tuple[PrincipalRow, ...]


class KeyListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class KeyRow(Row, frozen=True, kw_only=True):
    """`id` names a key without telling it: the beginning of its hash."""

    id: str
    principal: str
    name: str
    created_unix_ms: UnixMs
    expires_unix_ms: Annotated[int, Meta(description="Milliseconds since 1970; 0 is never.")]
    role: Annotated[Role, Meta(description="At most; never more than its principal's.")]
    only: Annotated[tuple[str, ...], Meta(description="The only subjects it is for.")]


class KeyPage(Page, frozen=True, kw_only=True):
    items: tuple[KeyRow, ...]


class ExplainRequest(Request, frozen=True, kw_only=True):
    operation: OperationField
    request: Annotated[dict[str, Json], Meta(description="The operation's request.")] = msgspec.field(
        default_factory=dict
    )
    as_: Annotated[
        str,
        Meta(
            max_length=100,
            description="person, automation, agent, controller, playbook or model (of your role), or a principal's id;"
            " you if not given.",
        ),
    ] = msgspec.field(name="as", default="")
    tainted: Annotated[bool, Meta(description="The evidence holds text from outside.")] = False


class GateExplained(Result, frozen=True, kw_only=True):
    """What the gate would say, and what would change. Nothing is done or noted."""

    actor: str
    allowed: Annotated[str, Meta(description="act, propose or refuse.")]
    plan: PlanView


QUERIES: Final = (
    read("proposal.list", "Proposals, newest first.", ProposalListRequest, ProposalPage, "/v1/proposals"),
    read(
        "proposal.show",
        "One proposal: its diff, its votes, its end.",
        ProposalRequest,
        ProposalShown,
        "/v1/proposals/{id}",
        errors=("proposal_not_found",),
    ),
    read(
        "proposal.diff",
        "All that a proposal changes, however much it is.",
        ProposalDiffRequest,
        ProposalDiff,
        "/v1/proposals/{id}/diff",
        errors=("proposal_not_found",),
    ),
    read(
        "audit.list",
        "Who did what, newest first.",
        AuditListRequest,
        AuditPage,
        "/v1/audit",
        errors=("audit_broken",),
    ),
    read("policy.show", "The gate's policy, as it is in force.", PolicyRequest, PolicyShown, "/v1/policy"),
    read("freeze.list", "Where changes are frozen.", FreezeListRequest, FreezePage, "/v1/freezes"),
    read("incident.list", "Open incidents.", IncidentListRequest, IncidentPage, "/v1/incidents"),
    read(
        "principal.list",
        "Who may speak to the cluster.",
        PrincipalListRequest,
        PrincipalPage,
        "/v1/principals",
        role=Role.ADMIN,
    ),
    read("key.list", "API keys, without the keys themselves.", KeyListRequest, KeyPage, "/v1/keys", role=Role.ADMIN),
    read(
        "gate.explain",
        "What the gate would say of a change, and by which rule.",
        ExplainRequest,
        GateExplained,
        "/v1/gate/explain",
        post=True,
        errors=("operation_unknown", "request_invalid"),
    ),
)
