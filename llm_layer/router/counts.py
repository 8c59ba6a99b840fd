"""Whether a number in a sentence is a count that a member can hold: "-3", "5.5", "50 %" and "5x" are none.

What reads members takes digits; what stands around them is looked at here.
"""

from __future__ import annotations

import re
from typing import Final

from llm_layer.router.intents import INTENTS
from llm_layer.router.masking import Sentence

COUNTS: Final = frozenset({"instances", "min", "max", "nodes"})
_TIMED: Final = frozenset({"minutes", "for_s"})
_BELOW_ZERO: Final = re.compile(r"(?<![\w.)\]-])[-\u2212\u2013]\d")
_FRACTION: Final = re.compile(r"(?<![\w.,])\d+[.,]\d+(?![.,]?\w)|[\u00bc-\u00be\u2150-\u215e]")
_COMMA: Final = re.compile(r"(?<![\w.,])\d+,\d+(?![.,]?\w)")
_HALF: Final = re.compile(
    r"\b\d+ (?:and|und|et|y|e|en) (?:an? |un[ae]? |ein )?(?:half|halb\w*|demie?|medi[ao]|mezz[ao]|mei[ao])\b"
)
_SHARE: Final = re.compile(r"%|\b(?:per ?cent|prozent|procent|pour ?cent|por ?cien(?:to)?|per ?cento|por ?cento)\b")
_TIMES: Final = re.compile(r"\b\d+(?:[.,]\d+)? ?(?:x|k|times|mal|fois|veces|volte|keer|vezes)\b")
_EITHER: Final = re.compile(r"\b\d+ (?:or|oder|ou|o|of|/) \d+\b")
_FROM_NOW: Final = re.compile(r"\b(?:from|von|desde|de|da|van) (\d+) (?:to|auf|a|naar|para) \d+\b")


def why_no_count(operation: str, sentence: Sentence) -> str:
    """Empty where nothing speaks against the numbers that the operation was filled in with."""
    slots = {*INTENTS[operation].needs, *INTENTS[operation].takes}
    said = sentence.text.lower()
    if slots & _TIMED and _COMMA.search(said):
        return "a number with a comma may mean several things"
    if not slots & COUNTS or not sentence.numbers():
        return ""
    if _BELOW_ZERO.search(said):
        return "it says a number below zero"
    if _FRACTION.search(_untimed(said)) or _HALF.search(sentence.plain):
        return "it says a number that is not whole"
    if _SHARE.search(sentence.folded):
        return "it says a share, and a count is wanted"
    if _TIMES.search(sentence.folded):
        return "it may mean so many times as many"
    return "it says two numbers to choose from" if _EITHER.search(sentence.plain) else ""


def says_from_now(sentence: Sentence, now: int | None) -> bool:
    """ "From 3 to 5" where 3 are wanted now is a change of these, and no bounds."""
    found = _FROM_NOW.search(sentence.plain)
    return found is not None and now is not None and int(found[1]) == now


def _untimed(said: str) -> str:
    """Hours may be halves."""
    return re.sub(r"\d+\.\d+\s?(?=(?:h|m|s|stund|heure|hora|or[ae]|uur|uren)[a-z]*\b)", "", said)
