"""What an answer stands on: each question that was asked, by an id that sentences name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llm_layer.desk import Desk, Plain
from runtime.clock import Clock


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Anybody can ask the same again: it is an operation with its request."""

    id: str
    operation: str
    request: dict[str, object]
    revision: int = 0


class EvidenceBook:
    """Asks each question once, and remembers which evidence its answer is. `clock` says when it is looked."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self.clock = clock
        self._answers: dict[bytes, tuple[Evidence, Plain]] = {}
        self.tainted = False
        """Text was read, by a model or by rules for a person, that somebody outside may have written."""

    async def ask(self, operation: str, request: Mapping[str, object] | None = None) -> tuple[Evidence, Plain]:
        """Raises DeskRefused, and asks anew the next time then."""
        asked = dict(request or {})
        key = msgspec.json.encode((operation, sorted(asked.items())))
        if key not in self._answers:
            answer = await self._desk.ask(operation, asked)
            if key in self._answers:
                return self._answers[key]  # asked twice at once: both stand on the answer that came first
            revision = answer.get("revision")
            evidence = Evidence(
                id=f"E{len(self._answers) + 1}",
                operation=operation,
                request=asked,
                revision=revision if isinstance(revision, int) else 0,
            )
            self._answers[key] = (evidence, answer)
        return self._answers[key]

    @property
    def all(self) -> tuple[Evidence, ...]:
        return tuple(evidence for evidence, _ in self._answers.values())
