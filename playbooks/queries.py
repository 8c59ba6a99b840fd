"""What can be asked about playbooks."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from playbooks.document.model import Limits, Locks, Mode, Param
from playbooks.document.triggers import TriggerKind
from playbooks.expressions.evaluation import Evaluated
from playbooks.requests import PlaybookField, PlaybookVersionField
from runtime.operations.operation import Request, Result
from runtime.operations.plan import BlastRadius, FieldChange, Json
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs


class PlaybookListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class TriggerRow(Row, frozen=True, kw_only=True):
    kind: TriggerKind
    on: Annotated[str, Meta(description="The labels of an alert, the kind of an event, or the span of a schedule.")]
    lasts: Annotated[str, Meta(description="How long an alert must last first.")] = "0s"
    mode: Annotated[Mode, Meta(description="run only what has passed a rehearsal as it is; else it is proposed.")]


class PlaybookRow(Row, frozen=True, kw_only=True):
    playbook: str
    version: str
    kind: str
    risk: str
    summary: str
    rehearsed: Annotated[str, Meta(description="passed, failed, or empty: never at this hash.")]
    origin: Annotated[str, Meta(description="package, or who uploaded it.")]
    offline: bool = False
    last_started_unix_ms: UnixMs = 0
    sha256: str
    triggers: tuple[TriggerRow, ...] = ()
    limits: Limits = Limits()


class PlaybookPage(Page, frozen=True, kw_only=True):
    items: tuple[PlaybookRow, ...] = msgspec.field(name="playbooks")


class PlaybookRequest(Request, frozen=True, kw_only=True):
    playbook: PlaybookField
    version: PlaybookVersionField = ""


class StepRow(Row, frozen=True, kw_only=True):
    step: str
    uses: str
    effect: str
    verify: str = ""
    undo: str = ""
    on_failure: str = ""


class PlaybookShown(Result, frozen=True, kw_only=True):
    playbook: str
    version: str
    sha256: str
    kind: str
    risk: str
    summary: str
    rehearsed: str
    rehearsed_unix_ms: UnixMs = 0
    rehearsal_ms: int = 0
    origin: Annotated[str, Meta(description="package, or who uploaded it.")]
    offline: bool = False
    triggers: tuple[TriggerRow, ...] = ()
    params: dict[str, Param]
    locks: Locks
    limits: Limits
    steps: tuple[StepRow, ...]
    source: Annotated[str, Meta(description="The TOML as it was uploaded.")]


class PlanRequest(Request, frozen=True, kw_only=True):
    playbook: PlaybookField
    version: PlaybookVersionField = ""
    params: Annotated[dict[str, Json], Meta(description="As the playbook declares them.")] = msgspec.field(
        default_factory=dict
    )


class StepPlanned(Row, frozen=True, kw_only=True, omit_defaults=True):
    """`state`: predicted (its diff is known), opaque (it has an effect that nobody can predict), reads, skipped, or
    refused (it would fail, and `why` says how)."""

    step: str
    uses: str
    state: str
    summary: str = ""
    why: str = ""
    request: dict[str, Json] = msgspec.field(default_factory=dict)
    diff: tuple[FieldChange, ...] = ()
    blast: BlastRadius = BlastRadius()
    gate_class: str = ""
    decision: str = ""


class PlaybookPlanned(Result, frozen=True, kw_only=True):
    """What a run would do now. Later steps are planned on the state as earlier ones would leave it; what the cluster
    makes of that by itself, such as instances that move, is not predicted."""

    playbook: str
    version: str
    sha256: str
    params: dict[str, Json]
    locks: tuple[str, ...]
    startable: Annotated[bool, Meta(description="All preconditions hold, and no step would be refused.")]
    beyond_role: Annotated[
        tuple[str, ...], Meta(description="Steps that need the role admin, where who asks has not: run refuses then.")
    ] = ()
    predicted: Annotated[str, Meta(description='How many of the steps with an effect are predicted, as "2 of 3".')]
    approvals: Annotated[int, Meta(ge=0, description="Steps that would wait for people.")]
    pre: tuple[Evaluated, ...]
    steps: tuple[StepPlanned, ...]
    verify: Annotated[
        Evaluated | None,
        Meta(description="The last verification, on the state as it is now, with all steps taken as done."),
    ] = None


QUERIES: Final = (
    read("playbook.list", "Playbooks that can be started.", PlaybookListRequest, PlaybookPage, "/v1/playbooks"),
    read(
        "playbook.show",
        "One playbook: its parameters, limits and steps, and its source.",
        PlaybookRequest,
        PlaybookShown,
        "/v1/playbooks/{playbook}",
        errors=("playbook_not_found",),
    ),
    read(
        "playbook.plan",
        "What a playbook would do now: each step's predicted diff; nothing is changed.",
        PlanRequest,
        PlaybookPlanned,
        "/v1/playbooks/{playbook}/plan",
        post=True,
        errors=("playbook_not_found", "parameters_invalid"),
    ),
)
