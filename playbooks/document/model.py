"""What a playbook says: frozen structs, of which the published schema is made."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from playbooks.document.duration import DurationText, LimitText
from runtime.operations.fields import END, NAME_PATTERN
from runtime.operations.plan import Json

SOURCE_BYTES_MAX: Final = 32 * 1024  # it lies in the state, where a value has 64 KiB
STEPS_MAX: Final = 45  # each is four steps of a run at most, and a run has 200
START: Final = "playbook.start"  # the action that starts another playbook
PRE_CHARS_MAX: Final = 6_000  # of all conditions together: they are one step's input, which has 8 KiB
VERIFY_S_MAX: Final = 24 * 3_600.0

PARAM_PATTERN: Final = rf"^[a-z][a-z0-9_]*{END}"
IdText = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63)]
ParamName = Annotated[str, Meta(pattern=PARAM_PATTERN, max_length=40)]
CelText = Annotated[str, Meta(min_length=1, max_length=2_000, description="A CEL expression.")]
Sentence = Annotated[str, Meta(min_length=1, max_length=300)]

Risk = Literal["read-only", "low", "medium", "high", "destructive"]
OnFailure = Literal["rollback", "stop", "continue", "ask"]
Mode = Literal["run", "propose"]
ParamType = Literal["string", "integer", "number", "boolean", "duration", "node", "slice", "blueprint"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of a document's tables."""


class Header(Part, frozen=True, kw_only=True):
    id: IdText
    version: Annotated[str, Meta(pattern=rf"^\d+\.\d+\.\d+{END}", max_length=20)]
    kind: Literal["incident", "scaling", "deployment", "troubleshooting", "backup", "security"]
    risk: Risk
    summary: Sentence
    offline: Annotated[bool, Meta(description="It can be run by the command line alone, where quorum is gone.")] = False
    deadline: Annotated[LimitText, Meta(description="Of a whole run, without what undoes it.")] = "1h"


class Param(Part, frozen=True, kw_only=True):
    type: ParamType
    required: bool = False
    default: Json = None
    summary: str = ""
    choices: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    min: float | None = None
    max: float | None = None


class Locks(Part, frozen=True, kw_only=True):
    """Names may hold parameters in braces. They are taken all or none before the first step."""

    exclusive: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    shared: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    on_conflict: Literal["queue", "reject", "join"] = "queue"


class BlastLimit(Part, frozen=True, kw_only=True):
    """The most that any one step's plan may touch; what is left out has no limit."""

    nodes: Annotated[int, Meta(ge=0)] | None = None
    instances: Annotated[int, Meta(ge=0)] | None = None
    capacity_share: Annotated[float, Meta(ge=0, le=1)] | None = None
    slices_below_min: Annotated[int, Meta(ge=0)] | None = None


class Limits(Part, frozen=True, kw_only=True):
    max_concurrent: Annotated[int, Meta(ge=1, le=100)] = 1
    cooldown: Annotated[DurationText, Meta(description="Between two starts for the same reason.")] = "0s"
    max_per_hour: Annotated[int, Meta(ge=1, le=1_000)] = 60
    breaker: Annotated[
        int, Meta(ge=1, le=20, description="After so many failed runs in a row only people start it.")
    ] = 3
    blast_radius: BlastLimit = BlastLimit()


class AlertTrigger(Part, frozen=True, kw_only=True):
    """`match`: labels the alert must have. `params`: expressions over `labels` and `annotations`."""

    match: Annotated[dict[str, str], Meta(min_length=1)]
    for_: Annotated[DurationText, Meta(description="How long the alert must last first.")] = msgspec.field(
        name="for", default="0s"
    )
    params: dict[ParamName, CelText] = {}
    dedupe: Annotated[CelText, Meta(description="One run for each value; default: the alert and its beginning.")] = (
        "alert.key + '/' + string(alert.since_unix_ms)"
    )
    mode: Mode = "propose"


class ScheduleTrigger(Part, frozen=True, kw_only=True):
    """Every so often, counted from midnight UTC."""

    every: DurationText
    params: dict[ParamName, Json] = {}
    mode: Mode = "run"


class EventTrigger(Part, frozen=True, kw_only=True):
    """`event`: a fact's kind. `when` and `params`: expressions over `event`."""

    event: Annotated[str, Meta(min_length=1, max_length=60)]
    when: CelText = "true"
    params: dict[ParamName, CelText] = {}
    dedupe: CelText = "event.id"
    mode: Mode = "propose"


class ModelTrigger(Part, frozen=True, kw_only=True):
    """What an AI agent may do with it. It never begins a step without the gate."""

    mode: Mode = "propose"


class Triggers(Part, frozen=True, kw_only=True):
    alert: Annotated[tuple[AlertTrigger, ...], Meta(max_length=20)] = ()
    schedule: Annotated[tuple[ScheduleTrigger, ...], Meta(max_length=5)] = ()
    event: Annotated[tuple[EventTrigger, ...], Meta(max_length=20)] = ()
    model: ModelTrigger | None = None


class Condition(Part, frozen=True, kw_only=True):
    cel: CelText
    why: Sentence
    always: Annotated[bool, Meta(description="Looked at again after each wait, not only at the start.")] = False


class Retry(Part, frozen=True, kw_only=True):
    attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    first: DurationText = "1s"
    most: DurationText = "30s"


class Verification(Part, frozen=True, kw_only=True):
    """It must become true `within`, and then stay so for `hold`."""

    cel: CelText
    within: LimitText = "30s"
    hold: LimitText = "0s"
    why: str = ""


class LastVerification(Verification, frozen=True, kw_only=True):
    """`on_failure`: behind a step that cannot be undone, such as a node that is forgotten, going back helps nobody."""

    on_failure: Literal["rollback", "stop", "ask"] = "rollback"


class Undo(Part, frozen=True, kw_only=True):
    """Either what to use, or why nothing needs to be undone."""

    uses: Annotated[str, Meta(max_length=80)] = ""
    with_: dict[str, Json] = msgspec.field(name="with", default_factory=dict)
    none: str = ""


class Step(Part, frozen=True, kw_only=True):
    """`uses` names an operation of the catalogue or an action. Values of `with` may hold parameters in braces, or be
    `{ cel = "…" }`."""

    id: IdText
    uses: Annotated[str, Meta(min_length=1, max_length=80)]
    summary: str = ""
    with_: dict[str, Json] = msgspec.field(name="with", default_factory=dict)
    when: CelText = "true"
    timeout: LimitText = "30s"
    retry: Retry = Retry()
    approval: Annotated[Literal["gate", "always"], Meta(description="always: wait for people in any case.")] = "gate"
    verify: Verification | None = None
    undo: Literal["inverse"] | Undo | None = None
    on_failure: OnFailure = "rollback"


class RehearsalPlan(Part, frozen=True, kw_only=True):
    """How Forge tries it: a cluster of so many nodes, what breaks there, and what the run is started with."""

    nodes: Annotated[int, Meta(ge=1, le=7)] = 3
    workers: Annotated[int, Meta(ge=0, le=6)] = 0
    provides: Annotated[int, Meta(ge=0, le=3, description="Nodes that the cluster may ask for.")] = 0
    apps: Annotated[tuple[str, ...], Meta(description="Of examples/.")] = ()
    disk_mib: Annotated[
        int, Meta(ge=0, le=4_096, description="Of all nodes together; needs the right to mount. 0: this machine's.")
    ] = 0
    fault: Annotated[tuple[str, ...], Meta(description="Commands of chaos.")] = ()
    observed: Annotated[str, Meta(description="What shows that it is broken.")] = ""
    on: Annotated[str, Meta(max_length=63, description="Where an offline playbook is carried out.")] = "n1"
    heal: Annotated[tuple[str, ...], Meta(description="Commands of chaos, once the run has begun.")] = ()
    params: dict[ParamName, Json] = {}


class Document(Part, frozen=True, kw_only=True):
    """A playbook, whole."""

    playbook: Header
    params: dict[ParamName, Param] = {}
    locks: Locks = Locks()
    limits: Limits = Limits()
    trigger: Triggers = Triggers()
    pre: Annotated[tuple[Condition, ...], Meta(max_length=20)] = ()
    step: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=STEPS_MAX)]
    verify: LastVerification | None = None
    rehearse: RehearsalPlan | None = None
