"""What a sentence names: exact names from the inventory, numbers, versions, metrics; and the sentence without them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llm_layer.router.inventory import Inventory
from llm_layer.router.words import TOKEN, VERSION, folded, metric_in, number_of

SENTENCE_CHARS_MAX: Final = 2_000
KIND_WORDS: Final = {
    "blueprint": re.compile(
        r"blueprint|applica|anwendung|aplicaci|\bapp\b|deinstall|uninstall|undeploy|desinstal|disinstal"
    ),
    "node": re.compile(r"\b(node|knoten|nodo|nodi|nœud|noeud|machine|server|host)s?\b"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One token that means something. `value` is the name, the number or the metric."""

    kind: str
    value: str
    token: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """`masked` is what the classifier reads: every name has become its kind."""

    text: str
    folded: str
    masked: str
    plain: str
    """As masked, but numbers and versions stand as digits: what slots are read from."""
    mentions: tuple[Mention, ...]
    near: tuple[tuple[str, str, str], ...] = ()
    """(word, kind, name): a word that is nearly a name."""

    def names(self, kind: str) -> list[str]:
        return list(dict.fromkeys(each.value for each in self.mentions if each.kind == kind))

    def numbers(self) -> list[Mention]:
        return [each for each in self.mentions if each.kind == "number"]


def read_sentence(text: str, inventory: Inventory) -> Sentence:
    """Exact names only, whatever their case; what is merely near a name is noted apart."""
    text = text[:SENTENCE_CHARS_MAX].strip()
    low = folded(text)
    known = inventory.named()
    tokens = [_trimmed(each) for each in TOKEN.findall(low)]
    mentions: list[Mention] = []
    words: list[str] = []
    digits: list[str] = []
    near: list[tuple[str, str, str]] = []
    for at, token in enumerate(tokens):
        found = _mention(token, at, low, known)
        if found is not None:
            mentions.append(found)
            words.append(found.kind.upper())
            digits.append(found.value if found.kind in ("number", "version") else found.kind.upper())
            continue
        words.append(token)
        digits.append(token)
    if not any(each.kind in ("slice", "node", "blueprint") for each in mentions):
        near = [(token, *pair) for token in tokens for pair in inventory.near(token)]
        nearly = {word: kind for word, kind, _ in reversed(near)}
        words = [nearly[word].upper() if word in nearly else word for word in words]
    masked = " ".join(words)
    if (metric := metric_in(low)) is not None:
        mentions.append(Mention(kind="metric", value=metric[0], token=metric[1], at=len(tokens)))
    return Sentence(
        text=text, folded=low, masked=masked, plain=" ".join(digits), mentions=tuple(mentions), near=tuple(near)
    )


def _trimmed(token: str) -> str:
    return token.rstrip(".-:")


def _mention(token: str, at: int, low: str, known: dict[str, list[tuple[str, str]]]) -> Mention | None:
    if places := known.get(token):
        kind, name = _chosen(places, low)
        return Mention(kind=kind, value=name, token=token, at=at)
    if VERSION.fullmatch(token):
        return Mention(kind="version", value=token.removeprefix("v"), token=token, at=at)
    number = number_of(token)
    if number is not None:
        return Mention(kind="number", value=f"{number:g}", token=token, at=at)
    return None


def _chosen(places: list[tuple[str, str]], low: str) -> tuple[str, str]:
    """A name that several kinds have means the kind that the sentence speaks of, and else a slice."""
    for kind, pattern in KIND_WORDS.items():
        if pattern.search(low) and (found := [each for each in places if each[0] == kind]):
            return found[0]
    return places[0]
