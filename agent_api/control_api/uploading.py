"""Uploads: the bytes are kept first, as a stream; what becomes of them is a change like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec
from fastapi import Request, Response
from msgspec import Meta
from starlette.requests import ClientDisconnect

from agent_api.control_api.changes import ERRORS, HEADERS, AppliedAnswer, Changes, ChangeWords, told_of
from agent_api.control_api.conditional import idempotency_key_of, if_match_of
from agent_api.control_api.decoding import words_of
from agent_api.control_api.endpoint import BYTES, Endpoint, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault
from runtime.names import Sha256
from runtime.operations.fields import END

ARTIFACT: Final = "artifact.upload"
MODEL: Final = "ttm.upload"
CONTENT_ERRORS: Final = ("content_mismatch", "content_too_large", "content_disk_full", "bad_request")


class Take(Protocol):
    """Keeps the bytes and says what they are. Raises RuntimeFault for those that are refused."""

    def __call__(
        self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None
    ) -> Awaitable[msgspec.Struct]: ...


class Upload(NamedTuple):
    """An operation whose request is made from a stream of bytes. errors: of what is in them."""

    operation: str
    take: Take
    errors: tuple[str, ...]


class UploadWords(ChangeWords, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: (
        Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{END}", description="Of what is sent; checked if given.")] | None
    ) = None


class Uploads:
    def __init__(self, parts: ApiParts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes
        model_errors = ("ttm_model_unreadable", "ttm_model_schema_wrong", "ttm_model_refused", "ttm_forecaster_failed")
        self._uploads = (
            Upload(ARTIFACT, parts.shelf.take, ("wheel_invalid",)),
            Upload(MODEL, parts.models.take, model_errors),
        )

    def endpoints(self) -> list[Endpoint]:
        """Who may not upload is sent away before any bytes are read."""
        return [self._endpoint(each) for each in self._uploads]

    def _endpoint(self, upload: Upload) -> Endpoint:
        operation = self._parts.catalogue.change(upload.operation)
        told = Told(status=201, says="It is kept.", model=AppliedAnswer, result=operation.result)
        return Endpoint(
            name=operation.name,
            summary=operation.summary,
            method=operation.route.method,
            path=operation.route.path,
            handle=partial(self._take, upload),
            role=operation.role,
            words=UploadWords,
            takes=(BYTES,),
            headers=HEADERS,
            answers=(told, *told_of(operation.result)),
            errors=(*operation.errors, *ERRORS, *upload.errors, *CONTENT_ERRORS),
        )

    async def _take(self, upload: Upload, request: Request) -> Response:
        words = words_of(request, UploadWords)
        for malformed_raises in (idempotency_key_of, if_match_of):  # before any bytes are kept
            malformed_raises(request)
        expected = Sha256(words.sha256) if words.sha256 is not None else None
        try:
            record = await upload.take(request.stream(), expected=expected)
        except ClientDisconnect as error:
            raise ApiFault("the upload ended early; nothing was kept") from error
        operation = self._parts.catalogue.change(upload.operation)
        members: dict[str, object] = {"record": msgspec.to_builtins(record)}
        return await self._changes.submit(request, operation, members, words=words, created=True)
