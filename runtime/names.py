"""Names of things, as types, and the rule that a name follows."""

from __future__ import annotations

import re
from typing import Final, NewType

NodeId = NewType("NodeId", str)
SliceName = NewType("SliceName", str)
Version = NewType("Version", str)
BlueprintId = NewType("BlueprintId", str)
Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

NAME_LENGTH_MAX: Final = 63  # a DNS label, so that a name can become a host name later
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]|[a-z]")
_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){0,3}([a-z0-9.+-]{0,32})")


def is_name(text: str) -> bool:
    """Whether `text` can name a node, a slice, a blueprint or a zone: lower case, digits and inner hyphens."""
    return len(text) <= NAME_LENGTH_MAX and _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether `text` can be a slice's version, as PEP 440 writes releases."""
    return _VERSION.fullmatch(text) is not None
