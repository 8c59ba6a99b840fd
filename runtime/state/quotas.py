"""How much each kind of key may hold, in one table; full means a clear refusal for that kind alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MIB: Final = 1024 * 1024
TOTAL_BYTES_MAX: Final = 256 * MIB  # every member keeps all of it in memory

_BY_KIND: Final = {  # first segment: (bytes, how many segments name the part that the quota is for)
    "database": (16 * MIB, 2),  # per slice
    "content": (8 * MIB, 1),
    "content-pin": (8 * MIB, 1),
    "artifact": (32 * MIB, 1),
    "blueprint": (8 * MIB, 1),
    "instance": (16 * MIB, 1),
    "instance-state": (16 * MIB, 1),
    "endpoint": (16 * MIB, 1),
    "audit": (32 * MIB, 1),  # 1,250 records of 16 KiB, and as many again while content cannot be written
}
_OTHER_BYTES: Final = 8 * MIB


def quota_of(key: str) -> tuple[str, int]:
    """The part of the key space that the key counts for, and how many bytes of keys and values it may hold."""
    segments = key.split("/", 2)
    limit, depth = _BY_KIND.get(segments[0], (_OTHER_BYTES, 1))
    return "/".join(segments[:depth]), limit


def fullest(weights: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """By kind of key (a closed set: those without a quota of their own are "other"), the bytes and the limit of the
    fullest part of that kind. `weights` are bytes by part."""
    found: dict[str, tuple[int, int]] = {}
    for part, used in weights.items():
        kind = part.split("/", 1)[0]
        limit, _ = _BY_KIND.get(kind, (_OTHER_BYTES, 1))
        name = kind if kind in _BY_KIND else "other"
        if used > found.get(name, (0, 0))[0]:
            found[name] = (used, limit)
    return found
