"""From an operation of the catalogue and its members to an HTTP request."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from agent_api.client.errors import RequestInvalid
from agent_api.client.message import CHANGE_TIMEOUT_S, JSON, HttpRequest
from runtime.operations.choices import choice_hint
from runtime.operations.operation import AnyChange, AnyOperation, AnyQuery, Request

Members = Mapping[str, object]

TURN_TIMEOUT_S: Final = 60.0  # between two lines: the first turn of a new leader waits for a process to start
PATH_MEMBER: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOptions:
    """How a change is asked for. `wait_s` is how long to wait until it took hold; `guard` is written as
    METRIC>BOUND@WINDOW_S, with a window in seconds; `if_match` is the revision since which the subject must not have
    changed (0: whatever it is). `conversation` and `card` say whose card it makes. An empty `idempotency_key` is made
    up."""

    dry_run: bool = False
    propose: bool = False
    reason: str = ""
    break_glass: bool = False
    evidence: tuple[str, ...] = ()
    tainted: bool = False
    conversation: str = ""
    card: str = ""
    guard: str = ""
    if_match: int = 0
    idempotency_key: str = ""
    wait_s: float = 0.0


def path_members(operation: AnyOperation) -> tuple[str, ...]:
    """Members of the request that stand in the path, in their order."""
    return tuple(PATH_MEMBER.findall(operation.route.path))


def checked(operation: AnyOperation, members: Members, *, strict: bool = True) -> dict[str, object]:
    """The members as plain data, as the operation's request takes them. Raises RequestInvalid.

    strict: False also takes numbers and truth values written as text.
    """
    try:
        request = msgspec.convert(members, operation.request, strict=strict)
    except msgspec.ValidationError as error:
        hint = choice_hint(operation.request, members, error)
        raise RequestInvalid(f"{operation.name}: {error}{hint}") from error
    return {name: value for name, value in plain_members(request).items() if name in members}


def plain_members(request: Request) -> dict[str, object]:
    plain = msgspec.to_builtins(request)
    assert isinstance(plain, dict)
    return plain


def change_request(operation: AnyChange, members: Members, options: ChangeOptions, *, wait_s: float) -> HttpRequest:
    """members: as `checked` gives them."""
    path, rest = _path(operation, members)
    return submission(operation.route.method, path, rest, options, wait_s=wait_s)


def submission(method: str, path: str, body: Members, options: ChangeOptions, *, wait_s: float) -> HttpRequest:
    """What may be repeated, since it carries an idempotency key."""
    headers = {"idempotency-key": options.idempotency_key, "content-type": JSON}
    if options.if_match:
        headers["if-match"] = f'"{options.if_match}"'
    if wait_s:
        headers["prefer"] = f"wait={math.ceil(wait_s)}"
    return HttpRequest(
        method=method,
        path=_with_words(path, _option_words(options)),
        body=encoded(body) if body else b"",
        headers=headers,
        timeout_s=CHANGE_TIMEOUT_S + wait_s,
        repeatable=True,
    )


def query_request(operation: AnyQuery, members: Members) -> HttpRequest:
    """members: as `checked` gives them."""
    path, rest = _path(operation, members)
    if operation.route.method != "GET":
        headers = {"content-type": JSON}
        body = encoded(rest)
        return HttpRequest(method=operation.route.method, path=path, body=body, headers=headers, repeatable=True)
    words = [(name, text) for name, value in rest.items() for text in _texts(value)]
    return HttpRequest(method="GET", path=_with_words(path, words), repeatable=True)


def turn_request(text: str, conversation: str = "") -> HttpRequest:
    """What a person says, answered as a stream of events. conversation: empty begins one."""
    said = {"text": text} | ({"conversation": conversation} if conversation else {})
    return HttpRequest(
        method="POST",
        path="/v1/chat",
        body=encoded(said),
        headers={"content-type": JSON, "accept": "text/event-stream"},
        timeout_s=TURN_TIMEOUT_S,
        repeatable=True,
    )


def encoded(body: Members) -> bytes:
    """Raises RequestInvalid for text that came from bytes which were none, as a shell may pass them on."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise RequestInvalid("a text in it is none: it holds bytes that are no UTF-8") from error


def new_key() -> str:
    """A fresh idempotency key."""
    return os.urandom(16).hex()


def _path(operation: AnyOperation, members: Members) -> tuple[str, dict[str, object]]:
    """The path, and the members that are not part of it."""
    named = path_members(operation)
    missing = [name for name in named if members.get(name, "") == ""]
    if missing:
        raise RequestInvalid(f"{operation.name}: `{missing[0]}` is missing")
    path = PATH_MEMBER.sub(lambda found: quote(str(members[found[1]]), safe=""), operation.route.path)
    return path, {name: value for name, value in members.items() if name not in named}


def _option_words(options: ChangeOptions) -> list[tuple[str, str]]:
    words = [(name, "true") for name in ("dry_run", "propose", "break_glass", "tainted") if getattr(options, name)]
    texts = ("reason", "guard", "conversation", "card")
    words += [(name, value) for name in texts if (value := getattr(options, name))]
    return words + [("evidence", each) for each in options.evidence]


def _with_words(path: str, words: list[tuple[str, str]]) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(words)}" if words else path


def _texts(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [] if value is None else [str(value)]
