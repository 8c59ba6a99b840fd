"""Conditions on requests: ETag and If-None-Match of reads, If-Match, keys of repeats and Prefer of changes."""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request

from agent_api.control_api.problems import RequestInvalid
from controllers.gate.idempotency import KEY_CHARS_MAX

WAIT_S_MAX: Final = 120
IF_MATCH_PATTERN: Final = r'^(?:(?:W/)?"([1-9][0-9]{0,17})"|([1-9][0-9]{0,17})|\*)$'
"""An ETag, also one that a proxy made weak, or its revision alone; `*` for whatever it is. Published as it stands."""
_IF_MATCH: Final = re.compile(IF_MATCH_PATTERN)
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])")


def etag_of(revision: int) -> str:
    return f'"{revision}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has that answer already: then 304 says enough."""
    given = request.headers.get("if-none-match", "")
    return etag in {each.strip().removeprefix("W/") for each in given.split(",")} or given.strip() == "*"


def if_match_of(request: Request) -> int:
    """The revision since which the subject must not have changed; 0 for whatever it is. Raises RequestInvalid."""
    text = request.headers.get("if-match", "*")
    found = _IF_MATCH.fullmatch(text)
    if found is None:
        raise RequestInvalid(f'If-Match is the ETag of a read, as in "1204", not {text[:40]!r}')
    return int(found[1] or found[2] or 0)


def idempotency_key_of(request: Request) -> str:
    """Empty where none was sent. An empty one protects nothing, and who sent it thinks that it does: RequestInvalid, as
    with one that is too long, whether it would be looked up or not."""
    text = request.headers.get("idempotency-key")
    if text is not None and not text.strip():
        raise RequestInvalid("Idempotency-Key is empty; send a fresh one with each change, or none")
    if text is not None and len(text) > KEY_CHARS_MAX:
        raise RequestInvalid(f"Idempotency-Key has {len(text)} characters, and at most {KEY_CHARS_MAX} are taken")
    return text or ""


def wait_of(request: Request) -> int | None:
    """Seconds to wait until the change has taken hold; None where nobody asked for it."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(WAIT_S_MAX, int(found[1])) if found is not None else None
