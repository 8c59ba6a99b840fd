"""What is kept whole beside proposals and audit records, which tell of it without secrets and shortened."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
import zstandard

from runtime.operations.plan import Call, FieldChange
from runtime.state.values import Value, encode

PACKED_BYTES_MAX: Final = 60 * 1024  # a value has 64 KiB
_UNPACKED_BYTES_MAX: Final = 16 * 1024 * 1024
ValueT = TypeVar("ValueT", bound=Value)


class WholeProposal(Value, frozen=True, kw_only=True):
    """`call` is what is planned again, `inverse` what undoes it, both with all that they hold: nobody is told them.
    `diff` is the effect for approvers: every row, uncut, but for what may be secret."""

    call: Call
    inverse: Call | None = None
    diff: tuple[FieldChange, ...] = ()
    answer: str = ""
    """Where its answer is kept under an idempotency key: what it came to is written there when it is applied."""
    undoes: str = ""
    """The applied proposal whose inverse `call` is."""
    takes_back: str = ""
    """The audit record of the own change that `call` is the inverse of."""


class Undo(Value, frozen=True, kw_only=True):
    """What undoes a change, where its audit record has no room for it or may not tell it."""

    inverse: Call
    proposal: str = ""
    """By which the change was applied, if it was proposed."""


def packed(value: Value) -> bytes:
    return zstandard.compress(encode(value))


def unpacked(raw: bytes, kind: type[ValueT]) -> ValueT | None:
    """None for what this version cannot read, as a newer one may have written it."""
    try:
        return msgspec.json.decode(zstandard.decompress(raw, max_output_size=_UNPACKED_BYTES_MAX), type=kind)
    except (zstandard.ZstdError, msgspec.DecodeError):
        return None
