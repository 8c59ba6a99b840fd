"""What the layer may do in the cluster: ask, have a change planned, and propose one to people. Nothing here carries
one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from llm_layer.errors import LlmFault

Plain = dict[str, object]


class DeskRefused(LlmFault):
    """The cluster did not answer. `code` is the cluster's own."""

    def __init__(self, code: str, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.code = code  # type: ignore[misc]  # of this one error
        self.remedy = remedy  # type: ignore[misc]


class GuardWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What undoes a change of a slice by itself: its metric beyond the bound, within the window after it was made."""

    metric: str
    bound: float
    window_s: int


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is proposed. key: of equal ones only the first makes a proposal. undoes: the applied proposal
    that this takes back."""

    reason: str
    evidence: tuple[str, ...]
    tainted: bool
    key: str
    guard: GuardWanted | None = None
    undoes: str = ""


class Desk(Protocol):
    """The cluster as the person who asks may see it. All raise DeskRefused."""

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        """A question's answer, as the API tells it."""
        ...

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        """What a change would do now, and what the gate says of it: a dry run."""
        ...

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        """The proposal that now waits for people, as a model's that acts for this person."""
        ...
