"""What requests say, checked at the edge: query words, path, headers and bodies, each within its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from agent_api.control_api.problems import ApiFault, BodyTooLarge, MediaUnsupported, RequestInvalid
from runtime.operations.choices import choice_hint
from runtime.spelling import nearest

BODY_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 32  # of JSON; nothing of ours nests deeper than ten
NUMBER_MAX: Final = 2**63 - 1
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")

StructT = TypeVar("StructT", bound=msgspec.Struct)


def check_media(request: Request, takes: Sequence[str]) -> None:
    """Of a request with a body that says what it is. Raises MediaUnsupported."""
    given = media_of(request)
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    if has_body and given and given not in takes:
        raise MediaUnsupported(f"a body of {given[:80]!r} is not taken here, but {' or '.join(takes)}")


def media_of(request: Request) -> str:
    """Empty where nothing is said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, most: int = BODY_BYTES_MAX) -> bytes:
    """Raises BodyTooLarge without reading more than it may."""
    parts, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise BodyTooLarge(f"the body has more than {most} bytes")
            parts.append(chunk)
    except ClientDisconnect as error:
        raise ApiFault("the request ended early; nothing was done") from error
    return b"".join(parts)


def json_object(raw: bytes) -> dict[str, object]:
    """The object that a body holds; empty for no body. Raises RequestInvalid."""
    if not raw.strip():
        return {}
    try:
        found = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalid(f"the body is no JSON object: {_short(error)}") from error
    _check_within_limits(found)
    return found


def text_of(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RequestInvalid(f"line {line}: the text is not UTF-8") from error


def words_of(request: Request, kind: type[StructT], path: Mapping[str, str] | None = None) -> StructT:
    """The query words, and the path's names where `kind` has them too. Raises RequestInvalid, naming the word."""
    lists = list_members(kind)
    found: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        if name in lists:
            found[name] = [*_as_list(found.get(name)), value]
        elif name in found:
            raise RequestInvalid(f"the query word {name[:80]!r} is given twice")
        else:
            found[name] = value
    return converted(found | dict(path or {}), kind, what="query word")


def converted(members: Mapping[str, object], kind: type[StructT], *, what: str = "member") -> StructT:
    """Texts are taken as the numbers and truths that `kind` wants. Raises RequestInvalid."""
    try:
        found = msgspec.convert(members, kind, strict=False)
        if any(isinstance(each, int) and abs(each) > NUMBER_MAX for each in msgspec.structs.astuple(found)):
            raise RequestInvalid(f"a whole number of the {what}s has more than 63 bits")
        return found
    except msgspec.ValidationError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is None:
            raise RequestInvalid(_short(error) + choice_hint(kind, members, error)) from error
        names = [field.encode_name for field in msgspec.structs.fields(kind)]
        raise RequestInvalid(f"there is no {what} {unknown[1][:80]!r}{nearest(unknown[1], names)}") from error
    except (OverflowError, RecursionError) as error:
        raise RequestInvalid(_short(error)) from error


@cache
def list_members(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Which members may be given more than once."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return frozenset(field.encode_name for field in info.fields if _is_list(field.type))


def _is_list(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.Metadata):
        return _is_list(kind.type)
    return isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _check_within_limits(document: object) -> None:
    """Raises RequestInvalid for what nests too deeply, or for a number that no message between nodes can carry."""
    level = [document]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for each in level:
            below += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        if any(isinstance(each, int) and abs(each) > NUMBER_MAX for each in below):
            raise RequestInvalid("a whole number has more than 63 bits")
        level = [each for each in below if isinstance(each, dict | list)]
        if not level:
            return
    raise RequestInvalid(f"the body nests deeper than {DEPTH_MAX}")


def _short(error: BaseException) -> str:
    text = str(error)
    return text if len(text) <= 300 else f"{text[:300]}…"
