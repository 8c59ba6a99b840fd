"""The Forge that a cluster runs in, asked through any of its nodes; there only where `forge_door` says where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

import anyio
import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.changes import answer, request_id, trace_id
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import Endpoint, Handler, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, problem
from controllers.gate.audit import AuditRecord
from controllers.gate.joining import StoreAuditLog
from evals.forge.console_door import ForgeAbsent, ForgeDoor
from evals.forge.wishes import LOAD, ChaosWish, ForgeStatus, LoadWish, refusal_of
from runtime.errors import RuntimeFault
from runtime.operations import subjects
from runtime.operations.actor import Actor, Role
from runtime.operations.dispatch import Applied, Outcome, Refused
from runtime.operations.identity import new_id
from runtime.operations.plan import Call

AUDIT_S: Final = 2.0  # what is asked for is a moment's matter to people, and must not wait for a quorum that is lost
NODE_CHARS_MAX: Final = 80
RULE: Final = "a Forge is there to be broken, by its admins"


class ForgeShown(msgspec.Struct, frozen=True, kw_only=True):
    present: Annotated[bool, Meta(description="This cluster runs in a Forge that says how it stands.")]
    forge: ForgeStatus | None = None


class ForgeObeyed(msgspec.Struct, frozen=True, kw_only=True):
    said: Annotated[str, Meta(description="What happened, in words.")]
    audit: Annotated[str, Meta(description="The id of its audit record; empty where the store took none in time.")] = ""


class Forging:
    """Chaos and load are the Forge's own: no cluster has them in its catalogue. Admins may ask, and no agent. Each wish
    is in the cluster's audit before it is passed on."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def endpoints(self) -> list[Endpoint]:
        told = Told(status=200, says="How the Forge stands.", model=ForgeShown)
        show = Endpoint(
            name="forge.show",
            summary="Whether this cluster runs in a Forge, its nodes as processes, and the load that it sends.",
            method="GET",
            path="/v1/forge",
            handle=self._show,
            answers=(told,),
        )
        return [
            show,
            _wished(
                "forge.load", "Send load in the place of what is sent; 0 ends it.", "PUT", "load", LoadWish, self._load
            ),
            _wished("forge.chaos", "Break something, or mend it.", "POST", "chaos", ChaosWish, self._chaos),
        ]

    async def _show(self, request: Request) -> Response:
        words_of(request, NoWords)
        door = self._door()
        if door is None:
            return answer(ForgeShown(present=False))
        try:
            return answer(ForgeShown(present=True, forge=await door.status()))
        except ForgeAbsent:
            return answer(ForgeShown(present=False))

    async def _load(self, request: Request) -> Response:
        words_of(request, NoWords)
        wish = converted(json_object(await body_of(request)), LoadWish)
        door, actor = self._present(), caller_of(request).actor
        asked = Call(operation=LOAD, request=msgspec.to_builtins(wish))
        return await self._obeyed(actor, asked, lambda: door.load(wish, actor))

    async def _chaos(self, request: Request) -> Response:
        words_of(request, NoWords)
        wish = converted(json_object(await body_of(request)), ChaosWish)
        door, actor = self._present(), caller_of(request).actor
        asked = Call(operation=wish.operation, request=wish.request)
        return await self._obeyed(actor, asked, lambda: door.chaos(wish, actor))

    async def _obeyed(self, actor: Actor, asked: Call, do: Callable[[], Awaitable[Outcome]]) -> Response:
        """In the audit first: what is asked for may end this very node. What the Forge then refuses is there, too."""
        audit = ""
        outcome: Outcome | None = refusal_of(actor)
        if outcome is None:
            audit = await self._noted(actor, asked)
            outcome = await do()
        if isinstance(outcome, Refused):
            await self._noted(actor, asked, refused=outcome, audit=audit)
            return problem(Declined(outcome))
        assert isinstance(outcome, Applied)
        return answer(ForgeObeyed(said=str(outcome.result.get("said", "")), audit=audit))

    async def _noted(self, actor: Actor, asked: Call, *, refused: Refused | None = None, audit: str = "") -> str:
        """The record's id; empty where it found no room in time. Nobody can mend a cluster without quorum who must be
        noted by it first."""
        clock = self._parts.clock
        record = AuditRecord(
            id=new_id(clock),
            kind="forge" if refused is None else "refused",
            at_unix_ms=clock.unix_ms(),
            actor=actor,
            operation=asked.operation,
            subject=_subject(asked),
            request=asked.request,
            summary=f"asked of the Forge: {asked.operation}" if refused is None else f"not done: {refused.detail}",
            rule=RULE if refused is None else refused.detail,
            trace_id=trace_id(),
            request_id=request_id(),
            detail={} if refused is None else {"code": refused.code, "asked": audit},
        )
        try:
            with anyio.fail_after(AUDIT_S):
                await StoreAuditLog(self._parts.store).write(record)
        except (RuntimeFault, TimeoutError) as fault:
            self._parts.log.warning(
                "forge_not_audited", operation=asked.operation, actor=actor.id, reason=str(fault) or "no answer in time"
            )
            return ""
        return record.id

    def _present(self) -> ForgeDoor:
        """Raises ForgeAbsent."""
        door = self._door()
        if door is None:
            raise ForgeAbsent("this cluster runs in no Forge")
        return door

    def _door(self) -> ForgeDoor | None:
        address = self._parts.forge_door()
        return ForgeDoor(address) if address else None


def _subject(asked: Call) -> str:
    node = asked.request.get("node")
    return subjects.of_node(node[:NODE_CHARS_MAX]) if isinstance(node, str) and node else subjects.CLUSTER


Method = Literal["PUT", "POST"]


def _wished(
    name: str, summary: str, method: Method, path: str, body: type[msgspec.Struct], handle: Handler
) -> Endpoint:
    return Endpoint(
        name=name,
        summary=summary,
        method=method,
        path=f"/v1/forge/{path}",
        handle=handle,
        role=Role.ADMIN,
        body=body,
        answers=(Told(status=200, says="What was done.", model=ForgeObeyed),),
        errors=("forge_absent", "chaos_refused", "refused_by_policy", "body_too_large"),
    )
