"""Durations as playbooks write them: "250ms", "10s", "5m", "1h", "1h30m"."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from runtime.operations.fields import END

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
PATTERN: Final = rf"^(\d+(\.\d+)?(ms|s|m|h|d))+{END}"

DurationText = Annotated[str, Meta(pattern=PATTERN, max_length=20, description='Such as "250ms", "10s" or "1h30m".')]
LimitText = Annotated[
    str,
    Meta(
        pattern=rf"^((\d+(\.\d+)?(ms|s|m|h|d))+|\{{[a-z][a-z0-9_]*\}}){END}",
        max_length=42,
        description='Such as "10s" or "1h30m", or a parameter of type duration in braces: "{time}".',
    ),
]


def is_duration(text: str) -> bool:
    return len(text) <= 20 and re.match(PATTERN, text) is not None


def seconds(text: str) -> float:
    """Of text that is a duration; raises ValueError for another."""
    if not is_duration(text):
        raise ValueError(f'{text!r} is no duration; write one as "10s", "5m" or "1h30m"')
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def milliseconds(text: str) -> int:
    return round(seconds(text) * 1_000)
