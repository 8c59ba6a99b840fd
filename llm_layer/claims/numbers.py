"""Numbers of a sentence, and whether evidence has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"(?<![\w.`-])-?\d+(?:[.,]\d+)*(?:\s?(%|ms\b|s\b|min\b|h\b|k\b|[KMG]i?B\b))?(?![\w`-])")
_ANY: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
SCALES: Final = {
    "": (1.0,),
    "%": (1.0, 0.01),
    "ms": (1.0, 0.001),
    "s": (1.0, 1_000.0),
    "min": (1.0, 60.0, 60_000.0),
    "h": (1.0, 3_600.0, 3_600_000.0),
    "k": (1_000.0,),
    "KB": (1.0, 1e3, 1_024.0),
    "MB": (1.0, 1e6, 1_048_576.0),
    "GB": (1.0, 1e9, 1_073_741_824.0, 1e3, 1_024.0),
}
"""By unit: what the number is multiplied with to be what the cluster may have written."""
FLOAT_SLACK: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """`slack`: half a unit of its last digit, since people and models round."""

    text: str
    value: float
    slack: float
    unit: str


def spoken_in(text: str) -> Iterator[Spoken]:
    """Numbers that stand by themselves; those inside of names and versions are no figures."""
    for found in _NUMBER.finditer(text):
        unit = (found[1] or "").replace("i", "")
        word = found[0][: len(found[0]) - len(found[1] or "")].strip()
        plain = _plain(word)
        if plain.count(".") > 1:
            continue  # a version
        digits = len(plain.partition(".")[2])
        yield Spoken(text=found[0], value=abs(float(plain)), slack=0.5 * 10.0**-digits, unit=unit)


def _plain(word: str) -> str:
    """Without separators of thousands; a single comma with other than three digits behind it is a decimal one."""
    if word.count(",") == 1 and "." not in word and len(word.partition(",")[2]) != 3:
        return word.replace(",", ".")
    return word.replace(",", "")


def numbers_in(text: str) -> set[float]:
    """All that evidence holds, in whatever place."""
    return {abs(float(each)) for each in _ANY.findall(text)}


def is_among(spoken: Spoken, numbers: Iterable[float]) -> bool:
    """Whether one of the numbers, rounded as it was spoken, is that number."""
    known = tuple(numbers)
    return any(
        abs(spoken.value * scale - each) <= spoken.slack * scale + FLOAT_SLACK * each
        for scale in SCALES.get(spoken.unit, (1.0,))
        for each in known
    )
