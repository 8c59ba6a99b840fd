"""A value that is none of the few that a member takes: refused with the nearest that are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from runtime.spelling import nearest

_NO_CHOICE: Final = re.compile(r"^Invalid enum value .* - at `\$\.([a-z0-9_]+)`$", re.DOTALL)


def choice_hint(kind: type[msgspec.Struct], members: Mapping[str, object], error: msgspec.ValidationError) -> str:
    """Behind the words of `error`, which came of making a `kind` of `members`: the nearest values that the member
    takes, or all of them where none is near. Empty for every other error."""
    found = _NO_CHOICE.match(str(error))
    choices = _choices(kind, found[1]) if found is not None else []
    if found is None or not choices:
        return ""
    return nearest(str(members.get(found[1], "")), choices) or f"; it takes {', '.join(choices)}"


def _choices(kind: type[msgspec.Struct], member: str) -> list[str]:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    found = next((each.type for each in info.fields if each.encode_name == member), None)
    if isinstance(found, msgspec.inspect.Metadata):
        found = found.type
    values = found.values if isinstance(found, msgspec.inspect.LiteralType) else ()
    return sorted(str(each) for each in values if each != "")
