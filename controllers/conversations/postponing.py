"""Which investigations wait for a model to answer again, and until when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from controllers.conversations.records import ConversationRecord, Postponed

HOLD_MS: Final = 3_600_000
"""What was slow an hour ago is another question now."""
FIRST_S: Final = 5.0
PAUSE_MAX_S: Final = 300.0


class Waiting(NamedTuple):
    conversation: str
    postponed: Postponed


def after_turn(before: Postponed | None, made: Postponed | None, *, goes_on: bool, ended: bool) -> Postponed | None:
    """What a conversation waits for behind a turn. made: what the turn postponed. goes_on: it was the model's turn with
    what waited before; where that was in vain its hour goes on, with the words of whoever asked."""
    if made is not None and before is not None and goes_on:
        return msgspec.structs.replace(made, number=before.number, since_unix_ms=before.since_unix_ms)
    return made or (None if goes_on and ended else before)


def longest(heads: Mapping[str, ConversationRecord]) -> list[Waiting]:
    """Whoever has waited longest first."""
    found = [Waiting(name, each.postponed) for name, each in heads.items() if each.postponed is not None]
    return sorted(found, key=lambda each: (each.postponed.since_unix_ms, each.conversation))


def has_lapsed(postponed: Postponed, now_unix_ms: int) -> bool:
    return now_unix_ms - postponed.since_unix_ms >= HOLD_MS


def pause_s(failures: int) -> float:
    """Before it is tried again whether a model answers."""
    return min(PAUSE_MAX_S, FIRST_S * float(1 << min(failures, 10)))
