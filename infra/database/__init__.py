"""Typed collections, kept in the store by default."""

from infra.database.errors import Conflict, DatabaseUnavailable, IndexUnknown, ItemTooLarge, KeyInvalid, QuotaExceeded
from infra.database.port import Collection, Database, Found, Page

__all__ = [
    "Collection",
    "Conflict",
    "Database",
    "DatabaseUnavailable",
    "Found",
    "IndexUnknown",
    "ItemTooLarge",
    "KeyInvalid",
    "Page",
    "QuotaExceeded",
]
