"""Changes as HTTP: one endpoint for each change of the catalogue, all through the dispatcher."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.conditional import idempotency_key_of, if_match_of, wait_of
from agent_api.control_api.decoding import body_of, converted, json_object, media_of, text_of, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import JSON, TOML, Endpoint, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, Forbidden, RequestInvalid, problem
from agent_api.control_api.waiting import until_converged
from controllers.conversations.operations import CardField, ConversationField
from controllers.gate.audit import Trace
from runtime.invocation.context import current
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Guard, Outcome, Planned, PlanView, Proposed, Refused, Submission
from runtime.operations.operation import AnyChange
from runtime.operations.operation import Request as OperationRequest

_GUARD: Final = re.compile(r"([a-z0-9_]{1,40})>(\d{1,9}(?:\.\d{1,9})?)@(\d{1,5})")
HEADERS: Final = ("Idempotency-Key", "If-Match", "Prefer")
ERRORS: Final = (
    "request_invalid",
    "body_too_large",
    "reason_missing",
    "refused_by_policy",
    "break_glass_refused",
    "request_too_large",
    "precondition_failed",
    "conversation_not_found",
    "idempotency_key_reused",
    "too_many_proposals",
    "guard_impossible",
    "changed_meanwhile",
    "quota_exceeded",
    "too_large",
    "session_lost",
)
"""What every change may be refused with, beside the codes of its own."""


class ChangeWords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    dry_run: Annotated[bool, Meta(description="Answer the plan and change nothing.")] = False
    propose: Annotated[bool, Meta(description="Wait for an approval also where none is needed.")] = False
    reason: Annotated[str, Meta(max_length=1_000, description="Why; kept in the audit.")] = ""
    break_glass: Annotated[bool, Meta(description="An admin's override of a needed approval; needs a reason.")] = False
    evidence: Annotated[
        tuple[Annotated[str, Meta(max_length=2_000)], ...],
        Meta(max_length=20, description="Links or ids of what led to this; may be given more than once."),
    ] = ()
    tainted: Annotated[bool, Meta(description="The evidence holds text from outside.")] = False
    conversation: Annotated[
        ConversationField | None,
        Meta(description="The conversation that it came from: what comes of it is told there, and its taint holds."),
    ] = None
    card: Annotated[CardField | None, Meta(description="The conversation's card that this makes.")] = None
    guard: Annotated[
        str,
        Meta(
            max_length=60,
            description="METRIC>BOUND@SECONDS, as in errors_share>0.05@300: undone by itself if the slice's metric"
            " passes the bound within that time.",
        ),
    ] = ""


class AppliedAnswer(Applied, frozen=True, kw_only=True, tag_field="outcome", tag="applied"):
    """The change was made. The members of `result` also stand beside it. `converged` and `waits_for` come with
    Prefer: wait."""

    converged: bool | msgspec.UnsetType = msgspec.UNSET
    waits_for: str | msgspec.UnsetType = msgspec.UNSET


class PlannedAnswer(PlanView, frozen=True, kw_only=True, tag_field="outcome", tag="planned"):
    """What would happen; nothing did."""


class ProposedAnswer(Proposed, frozen=True, kw_only=True, tag_field="outcome", tag="proposed"):
    """The change waits for people."""


WAITS: Final = Told(status=202, says="Waits for approval.", model=ProposedAnswer, headers=("Location",))
MADE: Final = AppliedAnswer | PlannedAnswer


def told_of(result: type[msgspec.Struct] | None) -> tuple[Told, ...]:
    """What changes with that result answer; None where it can be any change's."""
    return (Told(status=200, says="Applied, or planned for a dry run.", model=MADE, result=result), WAITS)


class Changes:
    """Submits what requests ask for, as the actor that they were found to come from."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def endpoints(self) -> list[Endpoint]:
        """One for each change of the catalogue, but for those that are made from a stream of bytes."""
        return [self._endpoint(each) for each in self._parts.catalogue.changes() if each.body == "json"]

    def _endpoint(self, operation: AnyChange) -> Endpoint:
        async def handle(request: Request) -> Response:
            members = await _members(operation, request)
            return await self.submit(request, operation, members)

        takes_toml = any(field.encode_name == "source" for field in msgspec.structs.fields(operation.request))
        return Endpoint(
            name=operation.name,
            summary=operation.summary,
            method=operation.route.method,
            path=operation.route.path,
            handle=handle,
            role=operation.role,
            gated=True,
            words=ChangeWords,
            body=operation.request,
            takes=(JSON, TOML) if takes_toml else (JSON,),
            headers=HEADERS,
            answers=told_of(operation.result),
            errors=(*operation.errors, *ERRORS),
        )

    async def submit(
        self,
        request: Request,
        operation: AnyChange,
        members: dict[str, object],
        *,
        reason: str = "",
        words: ChangeWords | None = None,
        created: bool = False,
        undoes: str = "",
    ) -> Response:
        """Checks the members, asks the dispatcher, and waits if that is wished for.

        reason: where the query words give none. words: those, if they were read already. created: 201 says it better.
        undoes: the applied proposal whose inverse it is.
        """
        words = words or words_of(request, ChangeWords)
        asked = converted(members, operation.request)
        if words.dry_run and not caller_of(request).actor.may(Role.VIEWER, operation.subject(asked)):
            raise Forbidden(f"a plan of {operation.subject(asked)} tells of it, and this key is for others")
        given = {name: value for name, value in msgspec.to_builtins(asked).items() if name in members}
        outcome = await self._parts.dispatcher.submit(
            Submission(
                operation=operation.name,
                request=given,
                actor=caller_of(request).actor,
                reason=words.reason or reason,
                idempotency_key=idempotency_key_of(request),
                dry_run=words.dry_run,
                propose=words.propose,
                break_glass=words.break_glass,
                evidence=words.evidence,
                tainted=words.tainted,
                conversation=words.conversation or "",
                card=words.card or "",
                if_match=if_match_of(request),
                guard=_guard(words.guard, members),
                undoes=undoes,
                trace_id=trace_id(),
                request_id=request_id(),
            )
        )
        response = await self._told(request, operation, asked, outcome)
        if created and isinstance(outcome, Applied):
            response.status_code = 201
        return response

    async def _told(
        self, request: Request, operation: AnyChange, asked: OperationRequest, outcome: Outcome
    ) -> Response:
        """Applied and planned are 200, proposed is 202 with the proposal's address, refused is a problem."""
        if isinstance(outcome, Refused):
            return problem(Declined(outcome))
        body = msgspec.to_builtins(outcome)
        del body["type"]  # `outcome` says it
        if isinstance(outcome, Planned):
            return answer({**body["plan"], "outcome": "planned"})
        if isinstance(outcome, Proposed):
            response = answer({**body, "outcome": "proposed"}, status=202)
            response.headers["location"] = f"/v1/proposals/{outcome.proposal}"
            return response
        wait_s = wait_of(request)
        if wait_s is None:
            return answer({**outcome.result, **body, "outcome": "applied"})
        now = await until_converged(self._parts.view.cache, operation, asked, wait_s=wait_s)
        body |= {"outcome": "applied", "converged": now.done, "waits_for": now.waits_for}
        response = answer({**outcome.result, **body})
        response.headers["preference-applied"] = f"wait={wait_s}"
        return response


def answer(body: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def trace() -> Trace:
    return Trace(trace_id=trace_id(), request_id=request_id())


def trace_id() -> str:
    call = current.get()
    return call.trace_id.hex() if call is not None else ""


def request_id() -> str:
    call = current.get()
    return call.request_id if call is not None else ""


async def _members(operation: AnyChange, request: Request) -> dict[str, object]:
    """The request's members: of the path, and of the body (JSON, or a blueprint's TOML)."""
    raw = await body_of(request)
    if raw and media_of(request) == TOML:
        members: dict[str, object] = {"source": text_of(raw)}
    else:
        members = json_object(raw)
    twice = next((name for name in request.path_params if name in members), None)
    if twice is not None and members[twice] != request.path_params[twice]:
        raise RequestInvalid(f"{operation.name}: {twice} is one thing in the path and another in the body")
    return members | request.path_params


def _guard(text: str, members: dict[str, object]) -> Guard | None:
    if not text:
        return None
    found = _GUARD.fullmatch(text)
    if found is None:
        raise RequestInvalid(f"guard is METRIC>BOUND@SECONDS, as in errors_share>0.05@300, not {text[:60]!r}")
    name = members.get("slice")
    if not isinstance(name, str):
        raise RequestInvalid("only changes of one slice can have a guard")
    return Guard(slice=name, metric=found[1], bound=float(found[2]), window_s=int(found[3]))
