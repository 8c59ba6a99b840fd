"""What is never told: values that may be secrets are hidden wherever a change is written about, not where it is made.

Hidden are a blueprint's source and the `config` of its slices, settings that are declared secret, and members of
requests that are marked so (`SECRET`). Who may read blueprints still reads them whole.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from runtime.config.settings import is_secret, is_setting
from runtime.operations.operation import AnyOperation, Request
from runtime.operations.plan import FieldChange, Json
from runtime.state import keys

HIDDEN: Final = "***"
_DEPLOYED: Final = (keys.BLUEPRINTS, keys.TARGETS, keys.INSTANCES, keys.GUARDS)
"""Kinds of keys whose records hold a blueprint's source, or what was its slices' `config`."""
_SET_SETTING: Final = "config.set"


def told_request(operation: AnyOperation | None, request: Mapping[str, Json]) -> dict[str, Json]:
    """Of a request, what may be told. operation: None for one that nobody knows, whose members may be anything."""
    told = _told_members(operation.request) if operation is not None else frozenset[str]()
    if operation is not None and operation.name == _SET_SETTING and is_secret(str(request.get("name"))):
        told -= {"value"}
    return {name: value if name in told else hidden(value) for name, value in request.items()}


def takes_secrets(operation: AnyOperation, words: str) -> bool:
    """Whether what is said to that operation, in these words of a command, may hold a secret: the value of a setting
    that there is not may be anything."""
    if operation.name == _SET_SETTING:
        named = re.findall(r"\w+", words)
        return any(map(is_secret, named)) or not any(map(is_setting, named))
    return len(_told_members(operation.request)) < len(msgspec.structs.fields(operation.request))


def told_rows(rows: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """A diff without what may be secret: that a member changes is told all the same."""
    return tuple(
        FieldChange(
            key=row.key,
            path=row.path,
            before=told_value(row.key, row.before, row.path),
            after=told_value(row.key, row.after, row.path),
        )
        for row in rows
    )


def told_value(key: str, value: Json, path: str = "") -> Json:
    """Of one key's record what may be told, or of one member of it."""
    if key.startswith(keys.CONFIG):
        return hidden(value) if is_secret(keys.parts(key)[-1]) else value
    return _member(path.split("."), value) if key.startswith(_DEPLOYED) else value


def may_hide(key: str, raw: bytes) -> bool:
    """Whether that record is worth reading for it; most hold nothing secret."""
    return key.startswith(keys.CONFIG) or (key.startswith(_DEPLOYED) and (b'"config"' in raw or b'"source"' in raw))


def hidden(value: Json) -> Json:
    """In the place of a value; the length of a text says that there was more than a word."""
    if value is None:
        return None
    return f"{HIDDEN} ({len(value)} characters)" if isinstance(value, str) and "\n" in value else HIDDEN


def _member(path: list[str], value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _member([*path, name], each) for name, each in value.items()}
    if isinstance(value, list):
        return [_member(path, each) for each in value]
    return hidden(value) if "config" in path or path[-1] == "source" else value


@functools.cache
def _told_members(request: type[Request]) -> frozenset[str]:
    """What the model knows and does not mark: a member that it does not know may be a secret in the wrong place."""
    info = msgspec.inspect.type_info(request)
    assert isinstance(info, msgspec.inspect.StructType)
    return frozenset(each.encode_name for each in info.fields if not _is_marked(each.type))


def _is_marked(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind, msgspec.inspect.Metadata) and bool((kind.extra or {}).get("secret"))
