"""What the cache refuses. Absence and failure are no errors: they are misses."""

from __future__ import annotations

from runtime.sdk.domain import DomainError


class CacheKeyInvalid(DomainError):
    """The key is empty or too long."""

    status = 422
    key: str
    reason: str


class CacheValueTooLarge(DomainError):
    """The encoded value is larger than one value may be."""

    status = 413
    key: str
    size: int
    size_max: int


class TtlInvalid(DomainError):
    status = 422
    ttl_s: float
    reason: str
