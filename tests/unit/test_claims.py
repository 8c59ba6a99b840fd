"""What a model claims is told only where evidence says so: names, numbers and ids."""

from __future__ import annotations

import pytest

from llm_layer.claims.answer import Answer, Claim
from llm_layer.claims.verify import Ground, problems_of

GROUND = Ground(
    shown={
        "E1": '{"slice":"orders","p95_ms":842.37,"errors_share":0.0342,"serving":2,"wanted":3,"rss_bytes":1500000000}',
        "E2": '{"node":"n2","loop_lag_ms":1250,"at":"2026-11-27T10:15:00Z","version":"1.4.2","calls":12345.6}',
    },
    names=frozenset({"orders", "payment-db", "n2"}),
    plots={"P1": None},
    cards={"abc": None},
    said="why are orders slow since 7 minutes?",
    known=frozenset({"slice.scale"}),
)


def problems(text: str, *evidence: str, plots: tuple[str, ...] = (), cards: tuple[str, ...] = ()) -> tuple[str, ...]:
    return problems_of(Answer(claims=(Claim(text=text, evidence=evidence),), plots=plots, cards=cards), GROUND)


@pytest.mark.parametrize(
    "text",
    [
        "`orders` answers in 842 ms, 2 of 3 instances serve.",
        "p95 is 842.4 ms (0.84 s), 3.4 % of the calls fail.",
        "Some 3% fail.",
        "It takes 1.5 GB.",
        "Slow since 7 minutes, as you said.",
        "`payment-db` stands behind slice orders.",
        "1. `orders` is slow\n2. nothing else is",
        "Scaling is done with `slice.scale`.",
        "Nothing is known of its disk.",
    ],
)
def test_what_the_cited_evidence_says_may_be_said(text: str) -> None:
    assert problems(text, "E1") == ()


@pytest.mark.parametrize(
    "text", ["Node n2 lags 1.25 s.", "Version 1.4.2 runs on n2.", "12,346 calls.", "12.3k calls came."]
)
def test_in_other_words_and_units_too(text: str) -> None:
    assert problems(text, "E2") == ()


@pytest.mark.parametrize(
    ("text", "evidence", "word"),
    [
        ("p95 is 900 ms.", ("E1",), "900"),
        ("p95 is 842.9 ms.", ("E1",), "842.9"),
        ("Node n2 lags 1250 ms.", ("E1",), "1250"),
        ("4.4 % of the calls fail.", ("E1",), "4.4 %"),
        ("2 of 3 serve.", (), "cites none"),
        ("`ledger` is at fault.", ("E1",), "ledger"),
        ("Node n7 is down.", ("E1",), "n7"),
        ("slice check-out is slow", ("E1",), "check-out"),
        ("It is well.", ("E9",), "E9"),
    ],
)
def test_what_it_does_not_say_is_found(text: str, evidence: tuple[str, ...], word: str) -> None:
    found = problems(text, *evidence)
    assert found
    assert word in " ".join(found)


def test_plots_and_cards_must_be_those_of_the_run() -> None:
    assert problems("It is well.", plots=("P1",), cards=("abc",)) == ()
    assert problems("It is well.", plots=("P2",), cards=("abd",)) == ("there is no plot 'P2'", "there is no card 'abd'")
