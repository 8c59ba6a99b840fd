"""What a turn tells while it goes on; each event is one JSON object with its `type`."""

from __future__ import annotations

import msgspec

from llm_layer.diagnosis.decide import Diagnosis
from llm_layer.evidence import Evidence


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """Base of all."""


class Text(Event, frozen=True, kw_only=True):
    """Words for the person. `evidence` are ids of what they stand on."""

    text: str
    evidence: tuple[str, ...] = ()


class Written(Event, frozen=True, kw_only=True):
    """More words of an answer that is still being written, each of them verified; with `ends` the claim is whole. It
    passes: the answer's `text` events tell all again, and are what is kept."""

    claim: int
    text: str
    evidence: tuple[str, ...] = ()
    ends: bool = False


class Anew(Event, frozen=True, kw_only=True):
    """What was `written` so far is taken back: something else in that answer does not hold."""


class Looked(Event, frozen=True, kw_only=True):
    """Something was asked of the cluster."""

    evidence: Evidence


class Table(Event, frozen=True, kw_only=True):
    """`more` rows are left out: the operation itself tells all."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    more: int = 0
    evidence: tuple[str, ...] = ()


class Plot(Event, frozen=True, kw_only=True):
    """One series, oldest first; null is missing. `step_s` is the time between two values."""

    name: str
    unit: str
    step_s: int
    values: tuple[float | None, ...]
    evidence: tuple[str, ...] = ()


class Diagnosed(Event, frozen=True, kw_only=True):
    diagnosis: Diagnosis


class Concluded(Event, frozen=True, kw_only=True):
    """What an investigation came to. `by` is "rules" or "model"; `confidence` is 0 to 1."""

    roots: tuple[str, ...]
    mechanism: str
    confidence: float
    gaps: tuple[str, ...]
    by: str


class Postponed(Event, frozen=True, kw_only=True):
    """No model answered, and rules alone have concluded: a model goes on with the investigation of that slice when one
    answers again, in this conversation. incident: with what of the budget is kept for incidents."""

    slice: str
    incident: bool


class Doubted(msgspec.Struct, frozen=True, kw_only=True):
    """claim: its text. says: `why` in words."""

    claim: str
    why: str
    says: str


class Checked(Event, frozen=True, kw_only=True):
    """Another model compared that many claims with what they cite. Each was verified before: names and numbers stand
    there. Without `doubts` it found nothing against them."""

    by: str
    claims: int
    doubts: tuple[Doubted, ...] = ()


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """The request that a person's client sends, with that person's own key, once they confirm."""

    method: str
    path: str
    body: dict[str, object]


class Card(Event, frozen=True, kw_only=True):
    """A change, filled in. It was planned and not made: `plan` is a dry run's, `refused` says why there is none."""

    id: str
    operation: str
    request: dict[str, object]
    summary: str
    command: str
    submit: Submit
    plan: dict[str, object] | None = None
    refused: str = ""
    near: tuple[str, str] | None = None
    tainted: bool = False


class ProposalMade(Event, frozen=True, kw_only=True, tag="proposal"):
    """A change waits for people, proposed by a model for this person. `rollback` says how it is taken back. tainted:
    proposed after text was read that somebody outside may have written, so more people are asked."""

    id: str
    operation: str
    request: dict[str, object]
    summary: str
    gate_class: str
    rule: str
    approvers: str
    expires_unix_ms: int
    rollback: str
    tainted: bool


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What may have been meant. `say` is the slash command that means exactly this."""

    operation: str
    summary: str
    say: str
    changes: bool
    missing: tuple[str, ...] = ()
    share: float = 0.0


class Choices(Event, frozen=True, kw_only=True):
    why: str
    options: tuple[Option, ...]
    teachable: str = ""
    """The sentence as `phrase.teach` takes it, where saying what it means helps the next time."""


class Done(Event, frozen=True, kw_only=True):
    """The last of a turn. `answered_by` is "rules" or "model", which is named then; `cost_micros`, in millionths of a
    US dollar, is null where the price is not known."""

    answered_by: str
    kind: str
    asked: int
    taken_ms: float
    model: str = ""
    tokens: int = 0
    cost_micros: int | None = 0
    tainted: bool = False
    """Text was read that somebody outside may have written."""


class Failed(Event, frozen=True, kw_only=True):
    """In the place of an answer."""

    code: str
    detail: str
    remedy: str = ""
