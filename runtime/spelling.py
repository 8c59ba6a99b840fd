"""Real names near a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LOOKED_AT: Final = 80  # characters of what was typed


def near_names(word: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.5) -> list[str]:
    """The nearest first; none where nothing is near. cutoff: 0 to 1, how alike they must be."""
    import difflib  # here: no process should carry it for what goes well

    return difflib.get_close_matches(word[:LOOKED_AT], list(known), n=most, cutoff=cutoff)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the three nearest real names, or nothing."""
    near = near_names(word, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
