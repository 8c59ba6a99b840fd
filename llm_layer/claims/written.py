"""An answer while it is still being written: how much of its claims can be told already, each word checked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llm_layer.claims.answer import TEXT_CHARS_MAX, Claim
from llm_layer.claims.verify import Ground, problems_of_claim

RAW_CHARS_MAX: Final = 32_768  # twelve claims of 1,200 characters, twice; beyond it the whole answer is waited for
_CLAIM: Final = re.compile(r'"evidence"\s*:\s*\[([^\]]*)\]\s*,\s*"text"\s*:\s*"((?:[^"\\]|\\.)*)("?)', re.DOTALL)
"""As answers are written by their schema: what a claim stands on comes before its words."""
_HALF_ESCAPE: Final = re.compile(r"\\u[0-9a-fA-F]{0,3}$")
_LAST_WORD: Final = re.compile(r"\s\S*$")
_NUMBER_LAST: Final = re.compile(r"\s\S*\d\S*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Of claim `number`, as far as it is sure. `whole`: the claim has ended, and all of it is right."""

    number: int
    text: str
    evidence: tuple[str, ...]
    whole: bool


def sure_parts(raw: str, ground: Ground) -> Iterator[Part]:
    """raw: what a model has written of an answer so far. Ends with the first claim that does not hold, as what comes
    behind that is written anew."""
    if len(raw) > RAW_CHARS_MAX:
        return
    for number, found in enumerate(_CLAIM.finditer(raw)):
        evidence, text, whole = _ids(found[1]), _text(found[2]), bool(found[3])
        sure = text if whole else _settled(text)
        if problems_of_claim(Claim(evidence=evidence, text=sure[:TEXT_CHARS_MAX]), ground):
            return
        yield Part(number=number, text=sure, evidence=evidence, whole=whole)


def _settled(text: str) -> str:
    """Without the word that may still go on, a number whose unit may still come, and a name whose end may."""
    text = _LAST_WORD.sub("", text) if _LAST_WORD.search(text) else ""
    if text.count("`") % 2:
        text = text[: text.rindex("`")]
    return _NUMBER_LAST.sub("", f" {text}")[1:].rstrip()


def _text(raw: str) -> str:
    try:
        return str(json.loads(f'"{_HALF_ESCAPE.sub("", raw)}"', strict=False))
    except ValueError:
        return ""


def _ids(raw: str) -> tuple[str, ...]:
    return tuple(re.findall(r'"([^"\\]*)"', raw))
