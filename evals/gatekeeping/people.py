"""Who asks and votes: over HTTP, at any node, and again with the same idempotency key while nobody has answered."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import anyio

from evals.forge.errors import ApiUnreachable
from evals.forge.http_client import Answer, HttpClient
from evals.gatekeeping.errors import GatePromiseBroken, NoAnswer

ANSWER_S: Final = 30.0  # an election and the restart of two processes, on a machine that is busy
TRY_S: Final = 5.0
AGAIN_S: Final = 0.1

Document = dict[str, object]


@dataclass(slots=True)
class Told:
    """How often people had to ask again."""

    repeats: int = 0


@dataclass(slots=True)
class Person:
    """One principal's key, and the addresses of all nodes' APIs."""

    key: str
    addresses: Callable[[], Sequence[str]]
    rng: random.Random
    told: Told = field(default_factory=Told)

    async def ask(self, method: str, path: str, body: Document | None = None, *, once: str = "") -> Document:
        """The answer, of the first node that gives one. A refusal that another try cannot change is an answer too, with
        its `code`. Raises NoAnswer. once: the idempotency key of a change."""
        answer = await self._answered(method, path, body, once)
        found = json.loads(answer.body)
        if not isinstance(found, dict):
            raise GatePromiseBroken(f"{method} {path} was answered with no object")
        return found

    async def lines(self, path: str) -> list[Document]:
        """Of an answer that is JSON lines."""
        answer = await self._answered("GET", path, None, "")
        return [json.loads(line) for line in answer.body.splitlines()]

    async def _answered(self, method: str, path: str, body: Document | None, once: str) -> Answer:
        with anyio.move_on_after(ANSWER_S):
            while True:
                answer = await self._tried(method, path, body, once)
                if answer is not None:
                    return answer
                self.told.repeats += 1
                await anyio.sleep(AGAIN_S)
        raise NoAnswer(f"{method} {path}: no node answered within {ANSWER_S:g} s")

    async def _tried(self, method: str, path: str, body: Document | None, once: str) -> Answer | None:
        headers = [("authorization", f"Bearer {self.key}")]
        if once:
            headers.append(("idempotency-key", once))
        address = self.rng.choice(list(self.addresses()))
        raw = b"" if body is None else json.dumps(body).encode()
        try:
            answer = await HttpClient(address).request(method, path, raw, headers=headers, timeout_s=TRY_S)
        except ApiUnreachable:
            return None
        return None if answer.status >= HTTPStatus.BAD_REQUEST and _passes(answer) else answer


def _passes(answer: Answer) -> bool:
    """Whether another try may be answered otherwise."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return True
    return not isinstance(found, dict) or bool(found.get("retryable"))
