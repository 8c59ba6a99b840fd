"""The whole audit, sealed segments included: as JSON lines, and whether its chain holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta
from starlette.responses import StreamingResponse

from agent_api.control_api.changes import answer
from agent_api.control_api.decoding import words_of
from agent_api.control_api.endpoint import LINES, Endpoint, NoWords, Told
from controllers.gate.audit import AuditBroken
from controllers.gate.verifying import AuditReader

CHUNK_BYTES: Final = 64 * 1024


class AuditChecked(msgspec.Struct, frozen=True, kw_only=True):
    """`broken` says where the chain does not hold; empty where it does."""

    holds: bool
    records: Annotated[int, Meta(description="In the chain; 0 where it is broken.")]
    hash: Annotated[str, Meta(description="Of the last record; empty where the chain is broken.")]
    broken: str = ""


class Auditing:
    """The endpoints that go through all of it; audit.list has the newest records page by page."""

    def __init__(self, audit: AuditReader) -> None:
        self._audit = audit

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                name="audit.export",
                summary="The whole audit, oldest first, one JSON document a line.",
                method="GET",
                path="/v1/audit/export",
                handle=self._export,
                answers=(Told(status=200, says="A record at its place, each line.", media=(LINES,)),),
                errors=("audit_broken", "compacted"),
            ),
            Endpoint(
                name="audit.verify",
                summary="Whether every record of the audit follows from the one before.",
                method="GET",
                path="/v1/audit/verify",
                handle=self._verify,
                answers=(Told(status=200, says="What was found.", model=AuditChecked),),
                errors=("compacted",),
            ),
        ]

    async def _export(self, request: Request) -> Response:
        """What is missing or broken at the beginning is a problem; later it ends the answer before its end."""
        words_of(request, NoWords)
        chunks = _chunks(self._audit)
        first = await anext(chunks, b"")

        async def all_of_it() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        return StreamingResponse(all_of_it(), media_type=LINES)

    async def _verify(self, request: Request) -> Response:
        words_of(request, NoWords)
        try:
            place = await self._audit.verify()
        except AuditBroken as broken:
            return answer(AuditChecked(holds=False, records=0, hash="", broken=str(broken)))
        return answer(AuditChecked(holds=True, records=place.number, hash=place.hash))


async def _chunks(audit: AuditReader) -> AsyncIterator[bytes]:
    lines: list[bytes] = []
    size = 0
    async for link in audit.links():
        lines.append(msgspec.json.encode(link) + b"\n")
        size += len(lines[-1])
        if size >= CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)
