"""How much the cache holds, for how long, and how it is named."""

from __future__ import annotations

from typing import Final

CACHE_SLICE: Final = "aether-cache"
CACHE_VERSION: Final = "1.0.0"
MIB: Final = 1024 * 1024
NODE_BYTES_MAX: Final = 64 * MIB  # of the gateway's memory, on each node
VALUE_BYTES_MAX: Final = MIB  # a sixty-fourth of a node
KEY_BYTES_MAX: Final = 512
ENTRY_BYTES: Final = 256  # what Python keeps around a value; so 64 MiB hold at most 260,000 entries
TTL_S: Final = 300.0
TTL_S_MAX: Final = 86_400.0  # no copy that was forgotten somewhere is older than a day
