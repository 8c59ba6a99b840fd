"""What models cost: a table of the settings, with the date of each price."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from llm_layer.providers.messages import Ask, Usage
from runtime.config.model_settings import PRICE_PATTERN

ANY: Final = "*"
BYTES_A_TOKEN_MIN: Final = 2
"""For the worst case: no text that is sent (JSON, English, logs in any script) has had fewer."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """In US dollars of a million tokens, which is millionths of a dollar of one."""

    fresh: float
    cached: float
    written: float
    output: float
    since: str = ""

    def of(self, usage: Usage) -> int:
        """Millionths of a dollar, rounded up."""
        return math.ceil(
            usage.fresh * self.fresh
            + usage.cached * self.cached
            + usage.written * self.written
            + usage.output * self.output
        )

    def worst(self, ask: Ask) -> int:
        """Before it is answered: all of it at the dearest rate, and the answer as long as it may be."""
        tokens = input_tokens_max(ask)
        dearest = max(self.fresh, self.cached, self.written)
        return math.ceil(tokens * dearest + ask.tokens_max * self.output)


class Prices:
    """`*` is what a model that stands nowhere is reserved at; its cost is unknown nevertheless."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Lines as the setting `model_prices` takes them."""
        self._of: dict[str, Price] = {}
        for line in lines:
            found = re.fullmatch(PRICE_PATTERN, line)
            assert found is not None, "the setting takes no other"
            name, *amounts, since = line.split()
            fresh, cached, written, output = map(float, amounts)
            self._of[name] = Price(fresh=fresh, cached=cached, written=written, output=output, since=since)

    def known(self, model: str) -> Price | None:
        return self._of.get(model)

    def reserved(self, model: str) -> Price:
        return self._of.get(model) or self._of.get(ANY) or DEAREST

    def cost(self, model: str, usage: Usage) -> int | None:
        """Millionths of a dollar; None where the price is not known."""
        price = self.known(model)
        return None if price is None else price.of(usage)


DEAREST: Final = Price(fresh=15.0, cached=15.0, written=30.0, output=75.0)
"""Where the table has no `*`: the dearest list prices of 2026-11 for any model of text that may be had."""


def input_tokens_max(ask: Ask) -> int:
    """The most that the question can have."""
    return math.ceil(len(msgspec.json.encode(ask)) / BYTES_A_TOKEN_MIN)
