"""HTTP requests and answers as values, without a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent_api.client.errors import ApiRefused, RequestInvalid

READ_TIMEOUT_S: Final = 10.0
CHANGE_TIMEOUT_S: Final = 30.0
RETRY_AFTER_S_MAX: Final = 5.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """`repeatable` says that sending it twice does what sending it once does. Header names are lower case."""

    method: str
    path: str
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = READ_TIMEOUT_S
    repeatable: bool = False

    def __post_init__(self) -> None:
        """Raises RequestInvalid for what would end a line of the request's head, and so begin another."""
        for text in (self.path, *self.headers.values()):
            if not (text.isascii() and text.isprintable()):
                raise RequestInvalid(f"{text[:80]!r} cannot be sent: it has line ends or other than plain characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """A whole answer. Header names are lower case. `repeated` says that the request had been sent before."""

    status: int
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeated: bool = False

    def fault(self) -> ApiRefused | None:
        """The problem that it is; None for a status below 400."""
        return ApiRefused(self.status, self.body, self.reason) if self.status >= 400 else None

    @property
    def retry_after_s(self) -> float:
        text = self.headers.get("retry-after", "")
        return min(float(text), RETRY_AFTER_S_MAX) if text.isdigit() else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """No whole answer came, and why. `sent` says whether a byte of the request may have left."""

    cause: str
    sent: bool


def cause_of(error: BaseException) -> str:
    """In the system's words where it has some."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
