"""Tells the sign-in page why the last sign-in failed: a signed cookie that is shown once, so that no address can put
words into the cluster's mouth."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import Request, Response

from agent_api.control_api.changes import request_id
from agent_api.control_api.problems import status_of
from agent_api.control_api.sealed import Seals
from agent_api.control_api.sign_in_flow import PATH
from runtime.consensus.errors import StoreFault, StoreUnavailable
from runtime.errors import RuntimeFault

COOKIE: Final = "aether_sign_in_refused"
PURPOSE: Final = "sign-in-refused"
KEPT_S: Final = 60
CHARS_MAX: Final = 3_072  # a browser keeps 4096 bytes of a cookie with its name
_WORDS_MAX: Final = 500
_UNSEALED: Final = "unavailable"
"""Where the store's records are not at hand, nothing can be signed; that may be said by anybody."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a problem."""

    status: int
    code: str
    detail: str
    remedy: str
    retryable: bool
    instance: str


async def keep(response: Response, fault: RuntimeFault, seals: Seals, *, secure: bool) -> None:
    try:
        text = (await seals.seal(PURPOSE, msgspec.json.encode(refused_of(fault)))).text
    except StoreFault:
        text = _UNSEALED
    response.set_cookie(COOKIE, text, max_age=KEPT_S, path=PATH, secure=secure, httponly=True, samesite="strict")


async def read(request: Request, seals: Seals) -> Refused | None:
    """Raises StoreFault."""
    text = request.cookies.get(COOKIE, "")
    if text == _UNSEALED:
        return refused_of(StoreUnavailable("this node does not know the cluster's records yet"))
    opened = await seals.open(PURPOSE, text, chars_max=CHARS_MAX) if text else None
    if opened is None:
        return None
    try:
        return msgspec.json.decode(opened.content, type=Refused)
    except msgspec.DecodeError:  # of a node of another version
        return None


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


def refused_of(fault: RuntimeFault) -> Refused:
    members = fault.problem()
    return Refused(
        status=status_of(fault),
        code=str(members["code"]),
        detail=str(members["detail"])[:_WORDS_MAX],
        remedy=str(members["remedy"])[:_WORDS_MAX],
        retryable=bool(members["retryable"]),
        instance=f"urn:aether:request:{request_id()}",
    )
