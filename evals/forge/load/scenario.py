"""What the load asks for: requests as data, chosen by their number so that a seed repeats a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

OK: frozenset[int] = frozenset(range(200, 400))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`expected` are the statuses that count as success."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    expected: frozenset[int] = OK


class Scenario(Protocol):
    """An endless row of requests. Pure: the same number gives the same request."""

    def request(self, number: int) -> Request: ...


@dataclass(frozen=True, slots=True)
class Mix:
    """Requests in turn, each as often as it stands in the row."""

    row: tuple[Request, ...]

    def request(self, number: int) -> Request:
        return self.row[number % len(self.row)]
