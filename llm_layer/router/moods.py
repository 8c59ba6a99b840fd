"""Sentences that speak of a change and do not ask for it now: what was done, what may be done if, and what rules cannot
read."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from llm_layer.router.masking import Sentence

_WHO: Final = r"(?:i|we|he|she|they|you|somebody|someone|people|who)"
_TOLD: Final = re.compile(
    rf"\b{_WHO} (?:have |has |had |just |already |recently )*(?!need)[a-z]{{3,}}ed\b"
    r"|\b(?:was|were|been|got) (?:just |already )?[a-z]{3,}ed\b"
    r"|\b(?:yesterday|last (?:night|week)|gestern|hier (?:soir|matin)|ayer|anoche|ieri|gisteren|ontem)\b"
    r"|\b(?:wurden?|habe?n?|hat|hatten?) .{0,60}\b(?:ge[a-z]+t|[a-z]+iert)\b"
    r"|\b(?:werden?|heb|heeft|hebben) .{0,60}\bge[a-z]+(?:d|t|en)\b"
    r"|\b(?:j'ai|nous avons|on a|il a|elle a|a ete|ont ete) .{0,20}[a-z]+(?:e|is)\b"
    r"|\b(?:he|hemos|han|ha|fue|fueron) (?:sido )?[a-z]+(?:ado|ido)\b"
    r"|\b(?:ho|abbiamo|hanno|e stat[oa]) (?:stat[oa] )?[a-z]+(?:ato|ito|uto)\b"
    r"|\b(?:foi|foram|tinha|tinhamos) [a-z]+(?:ado|ido)\b"
)
_ON_CONDITION: Final = re.compile(
    r"\b(?:if|unless|whenever|when|in case|wenn|falls|sobald|quand|lorsque|cuando|quando|zodra|wanneer|indien)\b"
    r"|\bsi (?:el|la|le|les|los|las|on|il|elle|hay)\b"
)
_POSSIBLE: Final = re.compile(
    r"\b(?:if|when|whenever|wenn) (?:it is |it's |es )?(?:possible|convenient|moglich|you can)\b"
)


_CLAUSES: Final = re.compile(r"[,;:.!] ")
CONDITIONED: Final = frozenset({"alert.set-threshold"})
"""What is nothing but a condition."""


def why_not_asked(operation: str, sentence: Sentence, *, polite: bool) -> str:
    """Empty where it may ask for something now. polite: "can you …?" asks for it."""
    low = sentence.folded
    if sentence.text.rstrip().endswith(("?", "\uff1f")) and not polite:
        return "it ends as a question, and that would be a change"
    if _TOLD.search(low) and not _CLAUSES.search(low):  # "we fixed it, close the incident" asks behind the comma
        return "it may tell what was done"
    if operation not in CONDITIONED and _ON_CONDITION.search(_POSSIBLE.sub(" ", low)):
        return "it says when or if, and that would be now"
    return "" if _is_read(sentence.text) else "it has letters of languages that rules do not read"


def _is_read(text: str) -> bool:
    """Only words of Latin letters were learnt from: of others a "not" would be missed."""
    return all(each.isascii() or not each.isalpha() or "LATIN" in unicodedata.name(each, "") for each in text)
