"""Whether a person asked for what a model filled in: once text of others was read, that may have asked too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from llm_layer.chat.events import Card
from llm_layer.router.routing import Routing

MEANT_SHARE_MIN: Final = 0.3
"""Of "make ledger well again" a restart has 0.14: that is for a remedy, which others decide about."""


def was_asked(card: Card, routing: Routing | None, said: Sequence[str]) -> bool:
    """routing: of the sentence that the card answers. The operation is likely to be what the sentence means, and every
    name and number of the request stands in the person's own words in this conversation."""
    choices = routing.choices if routing is not None else ()
    meant = {each.operation for each in choices if each.share >= MEANT_SHARE_MIN}
    words = " ".join(said).lower()
    return card.operation in meant and all(_stands_in(words, each) for each in _values(card.request))


def _stands_in(words: str, value: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(value.lower())}(?![\w-])", words) is not None


def _values(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _values(each)
    elif value is not None and value is not True and value is not False and value != "":
        yield str(value)
