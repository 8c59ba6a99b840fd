"""What is made when a start or an upload is taken: the run's id, when, by whom. Planning stays pure by it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from runtime.clock import Clock
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Submission
from runtime.operations.plan import Json


class Makers:
    """Implements the gate's Maker: members that no client says for itself."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id

    def made(self, submission: Submission) -> dict[str, Json]:
        match submission.operation:
            case "playbook.run":
                starter = submission.actor
                return self.run_of(starter, {"kind": starter.kind.value, "by": starter.id})
            case "playbook.upload" | "playbook.prove":
                return {"made": {"by": msgspec.to_builtins(submission.actor), "at_unix_ms": self._clock.unix_ms()}}
        return {}

    def run_of(self, starter: Actor, trigger: dict[str, Json], parent: str = "") -> dict[str, Json]:
        """Of a start for that actor."""
        made: dict[str, Json] = {
            "run": self._new_id(),
            "by": msgspec.to_builtins(starter),
            "at_unix_ms": self._clock.unix_ms(),
            "trigger": trigger,
            "parent": parent,
        }
        return {"made": made}
