"""What the database refuses or cannot do. A slice may declare them (`@raises(QuotaExceeded)`) and let them through."""

from __future__ import annotations

from runtime.sdk.domain import DomainError


class KeyInvalid(DomainError):
    """A key or an index's value is empty, too long or no text."""

    status = 422
    key: str
    reason: str


class IndexUnknown(DomainError):
    """The collection was opened without that index."""

    status = 500
    collection: str
    index: str


class ItemTooLarge(DomainError):
    status = 413
    key: str
    size: int
    size_max: int


class QuotaExceeded(DomainError):
    """The slice's share of the database is full. Reads and deletes go on."""

    status = 507
    reason: str


class Conflict(DomainError):
    """Others kept changing the item; nothing was changed by this call."""

    status = 409
    retryable = True
    key: str


class DatabaseUnavailable(DomainError):
    """Not now. `may_have_applied` says whether a change may have been made all the same."""

    status = 503
    retryable = True
    reason: str
    may_have_applied: bool = False
