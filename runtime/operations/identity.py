"""Ids of proposals, audit records and runs: short, and in the order they were made."""

from __future__ import annotations

import secrets
from typing import Final

from runtime.clock import Clock

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # without those that people mistake for each other


def new_id(clock: Clock) -> str:
    """Nine digits of time and six of chance."""
    return _base32(clock.unix_ms(), 9) + _base32(secrets.randbits(30), 6)


def _base32(number: int, length: int) -> str:
    return "".join(_DIGITS[(number >> 5 * place) & 31] for place in reversed(range(length)))
