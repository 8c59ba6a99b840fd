"""Sentences whose meaning people taught: what was said, without the names in it, and the operation that was meant."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import END
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value, decode, encode

PHRASES_MAX: Final = 200  # each is compared by whoever teaches another; a transaction compares 512 keys

SentenceField = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=300,
        pattern=rf"^[^\x00-\x1f]+{END}",
        description="What was said, with SLICE, NODE, NUMBER and so on in the place of names and numbers.",
    ),
]
MeantField = Annotated[
    str, Meta(pattern=rf"^[a-z-]+\.[a-z-]+{END}", max_length=60, description="Name of the operation that was meant.")
]


class PhraseRecord(Value, frozen=True, kw_only=True):
    sentence: str
    operation: str


class TeachRequest(Request, frozen=True, kw_only=True):
    sentence: SentenceField
    operation: MeantField


class ForgetRequest(Request, frozen=True, kw_only=True):
    id: Annotated[str, Meta(pattern=rf"^[0-9a-f]{{16}}{END}", description="Of the phrase, as phrase.list shows it.")]


def phrase_id(sentence: str) -> str:
    """The same for the same words, so that a sentence has one meaning: the one taught last."""
    return hashlib.sha256(sentence.encode()).hexdigest()[:16]


def plan_teach(state: PlanState, request: TeachRequest) -> Plan | Refusal:
    identity = phrase_id(request.sentence)
    key = keys.phrase(identity)
    before = state.value(key)
    if before is None and len(list(state.all_items(keys.PHRASES))) >= PHRASES_MAX:
        return Refusal(
            code="too_many_phrases",
            detail=f"{PHRASES_MAX} phrases are taught already",
            remedy="Forget some first: aether phrase list.",
        )
    after = encode(PhraseRecord(sentence=request.sentence, operation=request.operation))
    return Plan(
        operation="phrase.teach",
        subject=subjects.CLUSTER,
        summary=f"{request.sentence!r} means {request.operation}",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=_taught(before) if before is not None else Call(operation="phrase.forget", request={"id": identity}),
        result={"id": identity, "sentence": request.sentence, "operation": request.operation},
    )


def plan_forget(state: PlanState, request: ForgetRequest) -> Plan | Refusal:
    key = keys.phrase(request.id)
    before = state.value(key)
    if before is None:
        return Refusal(code="phrase_not_found", detail=f"no phrase {request.id} is taught")
    known = decode(before, PhraseRecord)
    return Plan(
        operation="phrase.forget",
        subject=subjects.CLUSTER,
        summary=f"what {known.sentence!r} means is forgotten",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=_taught(before),
        result={"id": request.id, "sentence": known.sentence, "operation": known.operation},
    )


def _taught(record: bytes) -> Call:
    return Call(operation="phrase.teach", request=msgspec.to_builtins(decode(record, PhraseRecord)))


OPERATIONS: Final = (
    Change(
        name="phrase.teach",
        summary="Say which operation a sentence means.",
        request=TeachRequest,
        result=results.PhraseTaught,
        route=Route(method="POST", path="/v1/phrases"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_teach,
        errors=("too_many_phrases",),
    ),
    Change(
        name="phrase.forget",
        summary="Forget what a sentence was said to mean.",
        request=ForgetRequest,
        result=results.PhraseTaught,
        route=Route(method="DELETE", path="/v1/phrases/{id}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_forget,
        errors=("phrase_not_found",),
    ),
)
