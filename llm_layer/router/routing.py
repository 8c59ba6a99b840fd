"""One sentence, one answer: a card to confirm, a question to answer, or choices. Nothing here carries anything out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from llm_layer.router.classifier import Classifier
from llm_layer.router.guards import OPPOSITE, why_no_card
from llm_layer.router.intents import INTENTS, NOTHING
from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import Sentence, read_sentence
from llm_layer.router.slots import fill

CHOICES: Final = 3
CARD_SHARE_MIN: Final = 0.5  # likelier than all else together; below it a change is one of three choices
ANSWER_SHARE_MIN: Final = 0.25  # a wrong answer to a question harms nobody
NOTHING_SHARE_MIN: Final = 0.5
SURE_SHARE: Final = 0.6
"""From it on a question is answered, and a change shown, as rules understand it, though a model stands by; a wrong one
is seen before it matters."""
CONSIDERED: Final = 10  # operations whose members are looked for
UNNAMED: Final = 0.35  # of its share is left to an operation whose subject the sentence does not name
UNHEARD_OF: Final = 0.1  # and to one of which no training sentence names a thing of a kind that this sentence names

NAMES: Final = frozenset({"slice", "node", "blueprint", "id", "name", "playbook", "run", "fingerprint"})
NAMED: Final = ("slice", "node", "blueprint", "playbook", "proposal", "run", "alert", "setting")

Kind = Literal["card", "question", "choices", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An operation with what the sentence says of it. `missing` are members that it does not say."""

    operation: str
    params: dict[str, object]
    missing: tuple[str, ...] = ()
    share: float = 0.0
    near: tuple[str, str] | None = None
    """The word that was said and the name that is taken for it, for people to confirm."""
    held: str = ""
    """What in the sentence speaks against a card of it, such as a negation."""

    @property
    def changes(self) -> bool:
        return INTENTS[self.operation].changes

    @property
    def whole(self) -> bool:
        """It lacks nothing, has no name that is only near, and the sentence says nothing against it."""
        return not self.missing and self.near is None and not self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """`choices` are what it may mean, the likeliest first; of a card or a question the first is what it means. `why`
    says in words why it is no card."""

    kind: Kind
    choices: tuple[Choice, ...]
    why: str = ""
    unsaid: tuple[str, ...] = ()
    """Members that the likeliest needs and the sentence does not say."""
    teachable: str = ""
    """The sentence without its names, where a person may say what it means and be understood the next time."""
    ranked: tuple[str, ...] = ()
    """Operations, the likeliest first, with "none" in its place: what a suite judges."""

    @property
    def first(self) -> Choice | None:
        return self.choices[0] if self.choices else None

    @property
    def sure(self) -> bool:
        """Where a model stands by, rules leave everything else to it."""
        return self.kind in ("question", "card") and self.choices[0].share >= SURE_SHARE

    @property
    def pointable(self) -> tuple[Choice, ...]:
        """Those of which somebody who reads better may say that one is meant. None where the sentence lacks something
        or speaks against the likeliest, or is taken for nothing of ours: then what is meant is seldom among them."""
        if self.sure or self.kind == "nothing" or self.first is None or not self.first.whole:
            return ()
        return tuple(each for each in self.choices if each.whole)


class Router:
    """corrections: (masked sentence, operation) that people confirmed. Their own sentences mean just that; what is like
    them is drawn to it."""

    def __init__(self, classifier: Classifier, corrections: Iterable[tuple[str, str]] = ()) -> None:
        self._classifier = classifier
        self._corrected = dict(each for each in corrections if each[1] in INTENTS)
        self._taught = classifier.taught(list(self._corrected.items())) if self._corrected else None

    def route(self, text: str, inventory: Inventory) -> Routing:
        sentence = read_sentence(text, inventory)
        if not sentence.masked:
            return Routing(kind="nothing", choices=())
        ranked = self._ranked(sentence, inventory)
        decided = replace(_decided(sentence, ranked, inventory), ranked=tuple(each.operation for each in ranked))
        may_learn = decided.kind == "choices" and decided.why == _UNSURE and not sentence.near
        return replace(decided, teachable=sentence.masked) if may_learn else decided

    def _ranked(self, sentence: Sentence, inventory: Inventory) -> list[Choice]:
        """The likeliest first."""
        shares = self._classifier.shares([sentence.masked], self._taught)[0]
        order = shares.argsort()[::-1][:CONSIDERED]
        found = [self._choice(self._classifier.operations[at], float(shares[at]), sentence, inventory) for at in order]
        corrected = self._corrected.get(sentence.masked)
        return sorted(found, key=lambda each: (each.operation != corrected, -each.share))

    def _choice(self, operation: str, share: float, sentence: Sentence, inventory: Inventory) -> Choice:
        params, missing = fill(operation, sentence, inventory)
        if any(slot in NAMES and slot not in {kind for _, kind, _ in sentence.near} for slot in missing):
            share *= UNNAMED
        if any(sentence.names(kind) and kind.upper() not in self._classifier.words[operation] for kind in NAMED):
            share *= UNHEARD_OF
        held = "" if missing else why_no_card(operation, sentence, params, inventory)
        return Choice(operation=operation, params=params, missing=missing, share=share, held=held)


def _decided(sentence: Sentence, ranked: Sequence[Choice], inventory: Inventory) -> Routing:
    """Pure: from what it may mean to what is shown."""
    first = ranked[0]
    if first.operation == NOTHING:
        if first.share >= NOTHING_SHARE_MIN:
            return Routing(kind="nothing", choices=_offered(ranked))
        return Routing(kind="choices", choices=_offered(ranked), why="it may be nothing that this cluster does")
    if first.missing:
        offers = tuple(_completed(first, sentence, inventory))
        words = f"it does not say which {' and '.join(first.missing)}"
        choices = (offers or _offered(ranked))[:CHOICES]
        return Routing(kind="choices", choices=choices, why=words, unsaid=first.missing)
    if not first.changes:
        sure = first.share >= ANSWER_SHARE_MIN
        return Routing(kind="question" if sure else "choices", choices=_offered(ranked), why="" if sure else _UNSURE)
    why = first.held or (_UNSURE if first.share < CARD_SHARE_MIN else "")
    if why:
        return Routing(kind="choices", choices=_with_opposite(_offered(ranked), ranked), why=why)
    return Routing(kind="card", choices=_offered(ranked))


_UNSURE: Final = "it may mean several things"


def _offered(ranked: Sequence[Choice]) -> tuple[Choice, ...]:
    return tuple(each for each in ranked[: CHOICES + 1] if each.operation != NOTHING)[:CHOICES]


def _with_opposite(offered: tuple[Choice, ...], ranked: Sequence[Choice]) -> tuple[Choice, ...]:
    """What may be meant instead stands among the choices."""
    opposite = OPPOSITE.get(offered[0].operation) if offered else None
    found = next((each for each in ranked if each.operation == opposite), None)
    if found is None or found in offered:
        return offered
    return (offered[0], found, *offered[1 : CHOICES - 1])


def _completed(choice: Choice, sentence: Sentence, inventory: Inventory) -> Iterator[Choice]:
    """The same operation with names that a word was near to; nothing else is guessed."""
    for word, kind, name in sentence.near:
        member = f"{kind}:{name}" if choice.missing == ("subject",) else name
        if choice.missing in ((kind,), ("subject",)):
            slot = choice.missing[0]
            yield replace(choice, params={**choice.params, slot: member}, missing=(), near=(word, name))
