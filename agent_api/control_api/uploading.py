"""Uploads: the bytes are kept first, as a stream; what becomes of them is a change like any other."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta
from starlette.requests import ClientDisconnect

from agent_api.control_api.changes import ERRORS, HEADERS, AppliedAnswer, Changes, ChangeWords, told_of
from agent_api.control_api.decoding import words_of
from agent_api.control_api.endpoint import BYTES, Endpoint, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault
from runtime.names import Sha256
from runtime.operations.fields import END

UPLOAD: Final = "artifact.upload"


class UploadWords(ChangeWords, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: (
        Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{END}", description="Of the wheel; checked if given.")] | None
    ) = None


class Uploads:
    def __init__(self, parts: ApiParts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes

    def endpoints(self) -> list[Endpoint]:
        """Who may not upload is sent away before any bytes are read."""
        operation = self._parts.catalogue.change(UPLOAD)
        told = Told(status=201, says="It is kept.", model=AppliedAnswer, result=operation.result)
        return [
            Endpoint(
                name=operation.name,
                summary=operation.summary,
                method=operation.route.method,
                path=operation.route.path,
                handle=self._upload,
                role=operation.role,
                words=UploadWords,
                takes=(BYTES,),
                headers=HEADERS,
                answers=(told, *told_of(operation.result)),
                errors=(
                    *operation.errors,
                    *ERRORS,
                    "wheel_invalid",
                    "content_mismatch",
                    "content_too_large",
                    "content_disk_full",
                    "bad_request",
                ),
            )
        ]

    async def _upload(self, request: Request) -> Response:
        words = words_of(request, UploadWords)
        expected = Sha256(words.sha256) if words.sha256 is not None else None
        try:
            record = await self._parts.shelf.take(request.stream(), expected=expected)
        except ClientDisconnect as error:
            raise ApiFault("the upload ended early; nothing was kept") from error
        operation = self._parts.catalogue.change(UPLOAD)
        members: dict[str, object] = {"record": msgspec.to_builtins(record)}
        return await self._changes.submit(request, operation, members, words=words, created=True)
