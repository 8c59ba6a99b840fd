"""Cache: rendezvous-hashed, one backup copy, never the truth."""

from infra.cache.errors import CacheKeyInvalid, CacheValueTooLarge, TtlInvalid
from infra.cache.port import Cache

__all__ = ["Cache", "CacheKeyInvalid", "CacheValueTooLarge", "TtlInvalid"]
