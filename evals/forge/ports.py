"""Ports for nodes that nobody else is about to take."""

from __future__ import annotations

import secrets
from typing import Final

from runtime.cluster.ports import OFFSETS, STEP, PortTaken, check_free

HOST: Final = "127.0.0.1"
RANGE: Final = range(12_000, 32_000, STEP)  # below the ephemeral ports, away from the default 7400
TRIES_MAX: Final = 200


def bases(count: int, first: int = 0) -> list[int]:
    """The first port of each node: in a row behind `first`, or anywhere free when it is 0. Raises PortTaken."""
    if first:
        chosen = [first + STEP * index for index in range(count)]
        for base in chosen:
            check_free(HOST, _ports(base))
        return chosen
    found: set[int] = set()
    for attempt in range(TRIES_MAX):
        base = RANGE[secrets.randbelow(len(RANGE))]
        try:
            check_free(HOST, _ports(base))
        except PortTaken:
            if attempt == TRIES_MAX - 1:
                raise
            continue
        found.add(base)
        if len(found) == count:
            break
    return sorted(found)


def _ports(base: int) -> dict[str, int]:
    return {name: base + offset for name, offset in OFFSETS.items()}
