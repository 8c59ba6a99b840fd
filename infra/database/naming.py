"""From collections, keys and index values to keys of the store, and back."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from infra.database.errors import KeyInvalid
from infra.database.limits import INDEX_VALUE_BYTES_MAX, KEY_BYTES_MAX, NAME_LENGTH_MAX
from runtime.state.keys import DATABASE

_NAME: Final = re.compile(rf"[a-z][a-z0-9_-]{{0,{NAME_LENGTH_MAX - 1}}}")


def is_collection_name(text: str) -> bool:
    """Whether `text` can name a collection or an index."""
    return _NAME.fullmatch(text) is not None


def items_below(scope: str, collection: str) -> str:
    return f"{DATABASE}{scope}/{collection}/"


def entries_below(scope: str, collection: str, index: str, value: str) -> str:
    """Where the index entries for that value stand; raises KeyInvalid."""
    return f"{DATABASE}{scope}/{collection}!{index}/{_escaped(value, INDEX_VALUE_BYTES_MAX)}/"


def item_key(scope: str, collection: str, key: str) -> str:
    """Raises KeyInvalid."""
    return items_below(scope, collection) + escaped_key(key)


def escaped_key(key: str) -> str:
    """Raises KeyInvalid."""
    return _escaped(key, KEY_BYTES_MAX)


def key_of(store_key: str) -> str:
    """The item's key, from an item's or an index entry's key in the store."""
    return unquote(store_key.rpartition("/")[2])


def index_text(value: object) -> str:
    """An index's value as text, its kind in front: 5 and "5" are two values. Raises TypeError."""
    match value:
        case None:
            return "n"
        case bool():
            return f"b{int(value)}"
        case int():
            return f"i{value}"
        case str():
            return f"s{value}"
    raise TypeError(f"an index holds text, whole numbers, bools or None, not {type(value).__name__}")


def _escaped(text: str, bytes_max: int) -> str:
    if not text:
        raise KeyInvalid(key=text, reason="it is empty")
    try:
        escaped = quote(text, safe="@:+=,")
    except UnicodeEncodeError:
        raise KeyInvalid(key=ascii(text)[:80], reason="it is no text") from None
    if len(escaped) > bytes_max:
        raise KeyInvalid(key=text[:80], reason=f"it is longer than {bytes_max} bytes once escaped")
    return escaped
