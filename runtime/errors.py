"""The base of every error that this layer raises on purpose."""

from __future__ import annotations

from typing import ClassVar


class RuntimeFault(Exception):
    """An expected failure: a stable code, whether retrying helps, and what the reader can do about it."""

    code: ClassVar[str] = "runtime_fault"
    retryable: ClassVar[bool] = False
    remedy: ClassVar[str] = ""

    def problem(self) -> dict[str, object]:
        """The RFC 9457 members that depend on the error alone (the HTTP status is the edge's affair)."""
        return {"code": self.code, "detail": str(self), "retryable": self.retryable, "remedy": self.remedy}


class InvariantBroken(Exception):
    """State that must never be. The process that sees it stops."""
