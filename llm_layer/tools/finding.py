"""The two tools that are no operations: looking for more tools, and reading on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from llm_layer.desk import Plain
from llm_layer.tools.visible import tool_name
from runtime.operations.operation import AnyOperation

FIND: Final = "find_tools"
MORE: Final = "more"
FOUND_MAX: Final = 3


def find_spec() -> tuple[str, str, Plain]:
    return FIND, "Look for other tools, by words. They can be called afterwards.", _one_text("query")


def more_spec() -> tuple[str, str, Plain]:
    return MORE, "Read on where a result was cut, by its handle.", _one_text("handle")


def _one_text(name: str) -> Plain:
    members = {name: {"type": "string"}}
    return {"type": "object", "properties": members, "required": [name], "additionalProperties": False}


def found(query: str, operations: Sequence[AnyOperation]) -> list[str]:
    """Those that share most words with the query, the best first; none where no word is shared."""
    wanted = _words(query)
    scored = [(len(wanted & _words(f"{each.name} {each.summary}")), each.name) for each in operations]
    best = sorted((each for each in scored if each[0]), key=lambda each: (-each[0], tool_name(each[1])))
    return [name for _, name in best[:FOUND_MAX]]


def _words(text: str) -> set[str]:
    """Without a plural's end, so that "alerts" finds alert.show."""
    return {each.removesuffix("s") for each in re.findall(r"[a-z]{3,}", text.lower())}
