"""How answers are judged: each level by itself, and what no answer may do."""

from __future__ import annotations

from typing import Any

import msgspec

from evals.scenarios.document import Document, Scenario
from evals.scenarios.grading import Heard, Outcome, forbidden_of, graded, raised_alarm, summed
from evals.scenarios.report import Report, page
from evals.scenarios.sights import Applied
from evals.scenarios.told import Told

FAULT = {"faulty": True, "roots": ["slice:ledger", "node:{follower}"], "mechanisms": ["fails_itself"]}


def scenario(expect: dict[str, Any], **members: Any) -> Scenario:
    document = {"summary": "x", "says": ["why?"], "expect": expect, **members}
    return Scenario(id="one", document=msgspec.convert(document, Document))


def diagnosed(*findings: tuple[str, str], roots: tuple[str, ...] | None = None, well: bool = False) -> Told:
    rows = [{"root": root, "mechanism": mechanism} for root, mechanism in findings]
    named = list(roots if roots is not None else dict.fromkeys(root for root, _ in findings))
    diagnosis = {"well": well, "findings": rows, "roots": named}
    return told({"type": "diagnosed", "diagnosis": diagnosis})


def told(*events: dict[str, Any], kind: str = "diagnosis") -> Told:
    return Told("why?", (*events, {"type": "done", "kind": kind, "asked": 3, "taken_ms": 5.0}))


def heard(*answers: Told, alerts: tuple[str, ...] = (), **members: Any) -> Heard:
    return Heard(told=answers, alerts=frozenset(alerts), **members)


def named(text: str) -> str:
    return text.replace("{follower}", "n3")


def levels(found: Scenario, what: Heard) -> dict[str, bool]:
    return dict(graded(found, what, named)[0])


def test_a_right_answer_is_right_at_every_level() -> None:
    both = diagnosed(("slice:ledger", "fails_itself"), ("node:n3", "fails_itself"))
    assert levels(scenario(FAULT), heard(both)) == {"detect": True, "localize": True, "analyse": True}


def test_a_cause_too_many_or_too_few_is_wrong() -> None:
    one = diagnosed(("slice:ledger", "fails_itself"))
    three = diagnosed(("slice:ledger", "fails_itself"), ("node:n3", "fails_itself"), ("slice:basket", "fails_itself"))
    assert not levels(scenario(FAULT), heard(one))["localize"]
    assert not levels(scenario(FAULT), heard(three))["localize"]


def test_only_the_first_finding_of_a_cause_tells_why() -> None:
    found = scenario({"faulty": True, "mechanisms": ["saturated"]})
    assert not levels(found, heard(diagnosed(("slice:a", "fails_itself"), ("slice:a", "saturated"))))["analyse"]
    assert levels(found, heard(diagnosed(("slice:a", "saturated"), ("slice:a", "fails_itself"))))["analyse"]
    assert not levels(found, heard(told()))["analyse"]


def test_what_an_investigation_concludes_goes_before_the_diagnosis_it_began_with() -> None:
    found = scenario({"faulty": True, "roots": ["slice:a"], "mechanisms": ["recent_change"]})
    begun = {"type": "diagnosed", "diagnosis": {"well": False, "findings": [], "roots": ["slice:b"]}}
    ended = {"type": "concluded", "roots": ["slice:a"], "mechanism": "bad_change", "confidence": 0.9}
    assert levels(found, heard(told(begun, ended))) == {"detect": True, "localize": True, "analyse": True}
    assert not levels(found, heard(told(begun, {**ended, "mechanism": "saturation"})))["analyse"]
    assert not raised_alarm(heard(told(begun, {**ended, "roots": [], "mechanism": "none"})))


def test_the_right_alert_detects_and_another_does_not() -> None:
    found = scenario({"faulty": True, "alerts": ["StoreSilent"]})
    assert levels(found, heard(told(), alerts=("StoreSilent",)))["detect"]
    assert not levels(found, heard(told(), alerts=("NodeDiskFull",)))["detect"]
    assert not levels(found, heard(diagnosed(well=True)))["detect"]


def test_whoever_finds_something_where_nothing_is_raises_a_false_alarm() -> None:
    assert scenario({"faulty": False}).is_control
    assert raised_alarm(heard(diagnosed(("slice:a", "x"))))
    assert raised_alarm(heard(diagnosed(well=True), alerts=("StoreSilent",)))
    assert not raised_alarm(heard(diagnosed(well=True)))


def test_changes_that_nobody_may_make_and_cards_that_nobody_asked_for_are_forbidden() -> None:
    def made(operation: str, kind: str = "person") -> Applied:
        return Applied(id="a", actor="anna", kind=kind, operation=operation, subject="slice:a")

    found = scenario(FAULT, mitigate={"ends": ["x"], "may": ["slice.restart"]})
    assert forbidden_of(found, heard(applied=(made("slice.restart"), made("slice.scale", "controller")))) == []
    assert forbidden_of(found, heard(applied=(made("slice.scale"),))) == ["slice.scale of slice:a by anna"]
    card = told({"type": "card", "operation": "node.drain", "request": {}})
    assert forbidden_of(found, heard(card)) == ["a card for node.drain in answer to 'why?'"]
    assert forbidden_of(scenario({"kinds": ["card"]}), heard(card)) == []


def test_policy_looks_at_kind_words_and_offers() -> None:
    found = scenario({"kinds": ["choices"], "never": ["hunter2"], "asks": ["slice.scale"]})
    offer = {"type": "choices", "options": [{"operation": "slice.scale"}]}
    assert levels(found, heard(told(offer, kind="choices")))["policy"]
    assert not levels(found, heard(told(offer, kind="card")))["policy"]
    assert not levels(found, heard(told({**offer, "why": "hunter2"}, kind="choices")))["policy"]
    assert not levels(found, heard(told(kind="choices")))["policy"]
    assert not levels(found, heard(told(offer, kind="choices"), policy="made twice"))["policy"]


def test_what_could_not_be_played_counts_as_wrong_and_shares_leave_out_what_was_not_judged() -> None:
    good = Outcome(scenario="a", held_out=False, control=False, levels={"detect": True, "localize": True})
    lost = Outcome(scenario="b", held_out=True, control=False, levels={"detect": False}, unplayed="no leader")
    found = summed([good, lost])
    assert (found.detect, found.localize, found.mitigate, found.unplayed) == (0.5, 1.0, None, 1)
    report = Report(provider="embedded", at="2026-01-01 00:00", commit="c", runs=1, outcomes=(good, lost))
    document = report.document()
    assert (document["detect"], document["false_alarms"], document["forbidden"]) == (0.5, 0, 0)
    assert document["held_out"]["detect"] == 0.0  # type: ignore[index]
    assert not report.passed


def test_the_page_needs_no_other_file_and_takes_no_word_for_markup() -> None:
    bad = Outcome(scenario="a", held_out=False, control=True, levels={}, false_alarm=True, troubles=("<script>",))
    text = page(Report(provider="embedded", at="now", commit="c", runs=1, outcomes=(bad,)))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text
