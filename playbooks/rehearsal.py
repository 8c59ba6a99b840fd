"""The port to where playbooks are rehearsed: a cluster of their own, in which the trouble is really there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from playbooks.document.reading import Source


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `failed_before`: with the trouble there, the last verification did not hold; `held_after`: once
    the playbook had done its work, it did."""

    playbook: str
    version: str
    sha256: str
    failed_before: bool
    seen_failing: bool = False
    """And that was seen of the state: it would not have held either if its steps had been done."""
    held_after: bool
    took_ms: int
    run_ms: int
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.failed_before and self.held_after


class Rehearsal(Protocol):
    async def rehearse(self, source: Source, told: Callable[[str], None]) -> Rehearsed:
        """told: hears what happens, in a sentence each. Raises RuntimeFault where it could not be tried at all."""
        ...
