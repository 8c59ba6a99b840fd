"""How much the database holds, and how it is named."""

from __future__ import annotations

from typing import Final

DATABASE_SLICE: Final = "aether-database"
DATABASE_VERSION: Final = "1.0.0"
ITEM_BYTES_MAX: Final = 64 * 1024  # the item and its index values: one value of the store
KEY_BYTES_MAX: Final = 200  # escaped; with the next four and a slice's 63 a store key of 512 bytes is never passed
INDEX_VALUE_BYTES_MAX: Final = 150  # escaped
NAME_LENGTH_MAX: Final = 40  # of collections and indexes
INDEXES_MAX: Final = 8  # each is one more key per item
PAGE_ITEMS_MAX: Final = 200
PAGE_BYTES_MAX: Final = 4 * 1024 * 1024  # a page ends at the first item beyond
