"""Log lines as templates with counts: a thousand lines are mostly a dozen sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from llm_layer.desk import Plain

SAMPLES: Final = 3
FIELDS: Final = ("error", "message", "reason", "detail", "exception")  # that say in words what happened
_ORDER: Final = {"error": 0, "warning": 1, "info": 2, "debug": 3}
_MASKS: Final = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\"[^\"]*\"|'[^']*'"), "<text>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
)


def templates(lines: Iterable[Mapping[str, object]]) -> list[Plain]:
    """The gravest and most frequent first. lines: newest first."""
    groups: dict[tuple[str, ...], list[Mapping[str, object]]] = {}
    for line in lines:
        words = " ".join(str(line[each]) for each in FIELDS if line.get(each))
        key = (str(line.get("level", "")), str(line.get("process", "")), str(line.get("event", "")), masked(words))
        groups.setdefault(key, []).append(line)
    return sorted((_told(key, rows) for key, rows in groups.items()), key=_place)


def masked(text: str) -> str:
    """What differs from line to line is taken out."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text


def _told(key: tuple[str, ...], rows: list[Mapping[str, object]]) -> Plain:
    level, process, event, template = key
    return {
        "level": level,
        "process": process,
        "event": event,
        "template": template,
        "count": len(rows),
        "first": rows[-1].get("at"),
        "last": rows[0].get("at"),
        "samples": [dict(each) for each in rows[:SAMPLES]],
    }


def _place(told: Plain) -> tuple[int, int]:
    count = told["count"]
    assert isinstance(count, int)
    return _ORDER.get(str(told["level"]), 4), -count
