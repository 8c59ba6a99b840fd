"""Whether what a model claims can be found in what it looked at. Pure: no model judges a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_layer.claims.answer import Answer, Claim
from llm_layer.claims.numbers import is_among, numbers_in, spoken_in

PROBLEMS_MAX: Final = 8  # told back to the model
_QUOTED: Final = re.compile(r"`([^`\n]{1,80})`")
_NUMBERED: Final = re.compile(r"\b(?=[a-z0-9-]*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*-?\d+\b")
"""Words such as n9 or node-7, which are names wherever they stand."""
_OF_KIND: Final = re.compile(
    r"\b(?:slice|node|blueprint|playbook)s?\s+[`'\"]?([a-z][a-z0-9]*(?:-[a-z0-9]+)+)[`'\"]?", re.IGNORECASE
)
_LISTED: Final = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What claims may stand on. shown: the text of every tool result, by evidence id. names: of the live inventory.
    said: the person's own words, whose numbers and names may be repeated."""

    shown: Mapping[str, str]
    names: Collection[str] = ()
    plots: Collection[str] = ()
    cards: Collection[str] = ()
    said: str = ""
    known: frozenset[str] = field(default=frozenset())
    """Words that look like names and are none, such as operations."""


def problems_of(answer: Answer, ground: Ground) -> tuple[str, ...]:
    """What is not so, in words for the model; empty where all of it holds."""
    found: list[str] = []
    for claim in answer.claims:
        found += problems_of_claim(claim, ground)
    found += [f"there is no plot {each!r}" for each in answer.plots if each not in ground.plots]
    found += [f"there is no card {each!r}" for each in answer.cards if each not in ground.cards]
    return tuple(dict.fromkeys(found))[:PROBLEMS_MAX]


def problems_of_claim(claim: Claim, ground: Ground) -> list[str]:
    unknown = [each for each in claim.evidence if each not in ground.shown]
    if unknown:
        return [f"there is no evidence {each!r}; there is {_listed(ground.shown)}" for each in unknown]
    cited = "\n".join(ground.shown[each] for each in claim.evidence)
    text = _LISTED.sub("", claim.text)
    return [*_names(text, cited, ground), *_numbers(text, cited, ground, claim.evidence)]


def _names(text: str, cited: str, ground: Ground) -> Iterable[str]:
    """A name is right where it is of the inventory, in the cited evidence, or what the person wrote."""
    named = {*_OF_KIND.findall(text), *_NUMBERED.findall(text.replace("`", " "))}
    named |= {each for each in _QUOTED.findall(text) if " " not in each.strip()}
    for each in sorted(named):
        word = each.strip().lower()
        if each not in ground.names and word not in ground.known and not _holds(cited, word):
            if _holds(ground.said, word):
                continue
            yield f"{each!r} is no name that the cited evidence has"


def _numbers(text: str, cited: str, ground: Ground, evidence: Collection[str]) -> Iterable[str]:
    known = numbers_in(cited) | numbers_in(ground.said)
    for each in spoken_in(_QUOTED.sub(" ", text)):
        if not is_among(each, known):
            where = f"in {', '.join(evidence)}" if evidence else "said by any evidence: the claim cites none"
            yield f"the number {each.text!r} is not {where}"


def _holds(text: str, word: str) -> bool:
    return re.search(rf"(?<![a-z0-9-]){re.escape(word)}(?![a-z0-9-])", text.lower()) is not None


def _listed(shown: Mapping[str, str]) -> str:
    return ", ".join(list(shown)[-20:]) or "none yet"
