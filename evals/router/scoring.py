"""What came of a suite: how often the meaning was found, and how often a wrong change would have been shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from evals.router.suite import Meant

THRESHOLDS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FREE_TEXT: Final = frozenset({"why"})
"""Members in the person's own words: nobody can say which words are right."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the router made of a sentence. `ranked` holds operations, the likeliest first."""

    kind: str
    ranked: tuple[str, ...]
    params: dict[str, object]
    share: float
    sure: bool = True
    """Rules answer it also where a model stands by."""
    pointable: tuple[tuple[str, dict[str, object]], ...] = ()
    """Operations with their members, of which a cheap model may say that one is meant."""


Route = Callable[[str], Shown]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence."""

    text: str
    lang: str
    wanted: str
    got: str
    kind: str
    share: float
    top1: bool
    top3: bool
    params_right: bool
    wrong_card: bool
    tuned: bool
    left: bool = False
    """To a model, where one stands by."""
    pointable: bool = False
    right_there: bool = False
    """What a cheap model may point at has what is meant, with its members; else none is right."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Of the sentences of which it is at least so sure: how many these are, and how many of them are right."""

    threshold: float
    coverage: float
    right: float


class Untouched(msgspec.Struct, frozen=True, kw_only=True):
    """The same of those sentences alone that did not help to choose what is trained."""

    sentences: int
    top1: float
    top3: float


class Help(msgspec.Struct, frozen=True, kw_only=True):
    """Of the sentences that rules leave to a model, if one stands by: of how many they ask a cheap one first, and of
    how many of those it can point at what is meant."""

    left: int
    asked: int
    right_there: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are of all sentences; `params_right` of those whose operation was found. `executed` is 0 by
    construction: what routes sentences can carry nothing out."""

    sentences: int
    languages: int
    top1: float
    top3: float
    params_right: float
    cards: int
    wrong_cards: int
    wrong_card_share: float
    executed: int
    untouched: Untouched
    help: Help
    by_language: dict[str, float]
    curve: tuple[Step, ...]
    wrong: tuple[Judged, ...]
    unknown_operations: tuple[str, ...] = ()
    """Of the sentences, that no cluster has: nothing could find these. Filled in by whoever knows the catalogue."""
    answer_ms: float = 0.0
    """Processor time of one answer, median; filled in by whoever routes."""


def judge(sentences: Iterable[Meant], route: Route) -> Report:
    judged = [_judged(each, route(each.text)) for each in sentences]
    return summed(judged)


def summed(judged: Sequence[Judged]) -> Report:
    found = [each for each in judged if each.top1]
    cards = [each for each in judged if each.kind == "card"]
    wrong_cards = sum(each.wrong_card for each in judged)
    languages = sorted({each.lang for each in judged})
    untouched = [each for each in judged if not each.tuned]
    return Report(
        sentences=len(judged),
        languages=len(languages),
        top1=_share(each.top1 for each in judged),
        top3=_share(each.top3 for each in judged),
        params_right=_share(each.params_right for each in found),
        cards=len(cards),
        wrong_cards=wrong_cards,
        wrong_card_share=wrong_cards / len(judged) if judged else 0.0,
        executed=0,
        untouched=Untouched(
            sentences=len(untouched),
            top1=_share(each.top1 for each in untouched),
            top3=_share(each.top3 for each in untouched),
        ),
        help=Help(
            left=sum(each.left for each in judged),
            asked=sum(each.pointable for each in judged),
            right_there=sum(each.right_there for each in judged),
        ),
        by_language={name: _share(each.top1 for each in judged if each.lang == name) for name in languages},
        curve=tuple(_step(judged, each) for each in THRESHOLDS),
        wrong=tuple(each for each in judged if not each.top1 or each.wrong_card or not each.params_right),
    )


def _judged(meant: Meant, shown: Shown) -> Judged:
    got = shown.ranked[0] if shown.ranked else ""
    top1 = got == meant.operation
    right = _has(shown.params, meant.params)
    forbidden = meant.card is False or not top1 or not right
    return Judged(
        text=meant.text,
        lang=meant.lang,
        wanted=meant.operation,
        got=got,
        kind=shown.kind,
        share=round(shown.share, 3),
        top1=top1,
        top3=meant.operation in shown.ranked[:3],
        params_right=right or (meant.card is False),
        wrong_card=shown.kind == "card" and forbidden,
        tuned=meant.tuned,
        left=not shown.sure,
        pointable=bool(shown.pointable),
        right_there=any(name == meant.operation and _has(had, meant.params) for name, had in shown.pointable),
    )


def _has(got: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Every member that is wanted, with its value; whole numbers may be written as any number."""
    return all(name in FREE_TEXT or got.get(name) == value for name, value in wanted.items())


def _step(judged: Sequence[Judged], threshold: float) -> Step:
    sure = [each for each in judged if each.share >= threshold]
    return Step(
        threshold=threshold,
        coverage=len(sure) / len(judged) if judged else 0.0,
        right=_share(each.top1 for each in sure),
    )


def _share(those: Iterable[bool]) -> float:
    listed = list(those)
    return sum(listed) / len(listed) if listed else 0.0
