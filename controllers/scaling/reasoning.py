"""The seat of the reasoning layer: what it is asked, and what it may answer. Who sits there is handed in from above."""

from __future__ import annotations

from typing import Protocol

import msgspec

from controllers.scaling.model import Decision, Layer, Opinion, SliceSeen, Surroundings


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The lower layers' answers are in `otherwise.layers`; `otherwise` is what happens without an opinion."""

    slice: str
    seen: SliceSeen
    around: Surroundings
    otherwise: Decision


class ReasoningLayer(Protocol):
    async def consider(self, question: Question) -> Opinion | None:
        """None is no opinion. It may take long or never answer: nobody waits for it, and an answer that comes late is
        dropped. Whatever it says stays inside the guard rails, and a number of its own waits for an approval."""
        ...


def is_conflict(decision: Decision, current: int) -> bool:
    """Whether the lower layers want opposite things: one more instances, another fewer."""
    ways = {(each.wanted > current) - (each.wanted < current) for each in decision.layers}
    return {1, -1} <= ways and decision.layer is not Layer.GUARD
