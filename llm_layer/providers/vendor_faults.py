"""What the makers' clients raise, as our one fault.

Their exceptions hold the request with its headers, and their texts may repeat a key. So ours is raised when theirs is
gone, and says in its own words what happened; of a rejected request alone it tells what the provider said, without what
looks like a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from llm_layer.providers.errors import ProviderFault, Trouble
from llm_layer.providers.messages import QUOTED_CHARS_MAX
from runtime.security.redaction import redacted

T = TypeVar("T")
RETRY_AFTER_S_MAX: Final = 3_600.0
OVERFLOW: Final = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt is too long|maximum context length|context window",
    re.IGNORECASE,
)
OF_CODE: Final[dict[str, Trouble]] = {
    "rate_limit_error": "limited",
    "rate_limit_exceeded": "limited",
    "overloaded_error": "failing",
    "api_error": "failing",
    "server_error": "failing",
    "timeout_error": "failing",
    "authentication_error": "denied",
    "permission_error": "denied",
    "invalid_api_key": "denied",
    "billing_error": "denied",
    "insufficient_quota": "denied",
}
BROKE_OFF: Final = "the connection broke amid the answer"
TRANSPORT: Final = ("httpx2", "httpcore2")


class Overflowed(Exception):
    """The conversation does not fit the model's window."""


async def guarded(call: Callable[[], Awaitable[T]], *, raised: tuple[type[Exception], ...], key: str) -> T:
    """Raises ProviderFault or Overflowed in the place of what the client raises."""
    try:
        return await call()
    except raised as error:
        ours = as_ours(error, key)
    raise ours


def as_ours(error: Exception, key: str) -> ProviderFault | Overflowed:
    match type(error).__name__:
        case "APITimeoutError":
            if "Connect" in type(error.__cause__).__name__:
                return ProviderFault("unreachable", "no connection in time")
            return ProviderFault("slow", "no answer in time")
        case "APIConnectionError":
            return ProviderFault("unreachable", "the connection could not be made, or broke")
        case "APIResponseValidationError":
            return ProviderFault("garbled", "the answer is none of its API")
    if type(error).__module__.partition(".")[0] in TRANSPORT:
        return ProviderFault("cut", BROKE_OFF)
    if isinstance(error, ValueError | AttributeError | TypeError):
        return ProviderFault("garbled", "the answer is none of its API")
    status = getattr(error, "status_code", 0)
    if status >= 400:
        return _answered(status, error, key)
    return coded(_code(error), _words(error, key))  # an error event amid a stream whose head was well


def coded(code: str, words: str) -> ProviderFault | Overflowed:
    """Of an error that came in a stream. `words` are without secrets."""
    if OVERFLOW.search(f"{code} {words}"):
        return Overflowed()
    return ProviderFault(OF_CODE.get(code, "rejected"), f"it broke off: {code or words}")


def _answered(status: int, error: Any, key: str) -> ProviderFault | Overflowed:
    code, words = _code(error), _words(error, key)
    if status in (400, 413) and OVERFLOW.search(f"{code} {words}"):
        return Overflowed()
    if status in (401, 402, 403) or OF_CODE.get(code) == "denied":
        return ProviderFault("denied", f"it refuses the key or its account (HTTP {status}{code and f', {code}'})")
    after_s = _retry_after_s(error)
    if status in (408, 409, 429):
        return ProviderFault("limited", f"it takes no more requests now (HTTP {status})", retry_after_s=after_s)
    if status >= 500:
        return ProviderFault("failing", f"it answers HTTP {status}", retry_after_s=after_s)
    return ProviderFault("rejected", f"it rejects the request (HTTP {status}): {words}")


def _code(error: Any) -> str:
    for name in ("code", "type"):
        told = getattr(error, name, None)
        if isinstance(told, str) and re.fullmatch(r"[a-z_]{1,60}", told):
            return told
    return ""


def _words(error: Any, key: str) -> str:
    """What the provider says of the request."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    told = inner.get("message") if isinstance(inner, dict) else None
    return without_secrets(told, key) if isinstance(told, str) else "no reason given"


def without_secrets(text: str, key: str) -> str:
    return redacted(text.replace(key, "[redacted:key]") if key else text)[:QUOTED_CHARS_MAX]


def _retry_after_s(error: Any) -> float | None:
    """In seconds; proxies write it as a date too. Who asks for more than can be waited for is not taken for silent."""
    told = error.response.headers.get("retry-after", "")
    try:
        after_s = float(told)
    except ValueError:
        after_s = _until_s(told)
    return min(after_s, RETRY_AFTER_S_MAX) if after_s >= 0 else None


def _until_s(date: str) -> float:
    """NaN for what is no date."""
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    now = datetime.now(UTC)
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
