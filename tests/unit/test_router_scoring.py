"""The judge of the router's suite: what counts as found, and what as a wrong card."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent_api.catalogue import make_catalogue
from agent_api.cli.eval_router import measure
from evals.router.scoring import Shown, judge
from evals.router.suite import Meant, SentencesUnreadable, place_of, read_sentences
from llm_layer.router.intents import INTENTS, MEMBER_OF, NOTHING
from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import read_sentence
from llm_layer.router.phrases import training_sentences
from llm_layer.router.routing import Router
from llm_layer.router.shipped import open_classifier
from runtime.operations.operation import Change

SCALE = Meant(text="scale", lang="en", operation="slice.scale", params={"slice": "orders", "instances": 5})


def shown(kind: str, *ranked: str, **params: object) -> Shown:
    return Shown(kind=kind, ranked=ranked, params=params, share=0.8)


def test_a_card_is_wrong_by_its_operation_or_by_any_member() -> None:
    cards = {
        "right": shown("card", "slice.scale", slice="orders", instances=5),
        "other number": shown("card", "slice.scale", slice="orders", instances=6),
        "other operation": shown("card", "slice.restart", slice="orders"),
        "choices": shown("choices", "slice.restart", "slice.scale", slice="orders"),
    }
    found = {name: judge([SCALE], lambda _, each=each: each) for name, each in cards.items()}  # type: ignore[misc]
    assert {name: each.wrong_cards for name, each in found.items()} == {
        "right": 0,
        "other number": 1,
        "other operation": 1,
        "choices": 0,
    }
    assert (found["choices"].top1, found["choices"].top3) == (0.0, 1.0)


def test_a_card_where_none_may_be_is_wrong_though_its_operation_is_meant() -> None:
    negated = Meant(text="don't", operation="slice.scale", params=SCALE.params, card=False)
    assert judge([negated], lambda _: shown("card", "slice.scale", slice="orders", instances=5)).wrong_cards == 1


def test_sentences_that_helped_to_choose_the_training_are_told_apart() -> None:
    """They flatter: what a new person says is nearer to the others."""
    tuned = Meant(text="known", operation="slice.show", tuned=True)
    report = judge([SCALE, tuned], lambda text: shown("question", "slice.show" if text == "known" else "slice.list"))
    assert (report.top1, report.untouched.top1, report.untouched.sentences) == (0.5, 0.0, 1)


def test_what_is_left_to_a_model_is_told_and_what_a_cheap_one_can_point_at() -> None:
    two = (("slice.list", {}), ("slice.scale", dict(SCALE.params)))
    wrong = (("slice.scale", {"slice": "orders", "instances": 6}),)
    made = {
        "sure": shown("card", "slice.scale"),
        "right there": msgspec.structs.replace(shown("choices", "slice.list"), sure=False, pointable=two),
        "another number": msgspec.structs.replace(shown("choices", "slice.scale"), sure=False, pointable=wrong),
        "nothing to point at": msgspec.structs.replace(shown("choices", "slice.scale"), sure=False),
    }
    report = judge([msgspec.structs.replace(SCALE, text=each) for each in made], made.__getitem__)
    assert (report.help.left, report.help.asked, report.help.right_there) == (3, 2, 1)


def test_the_curve_tells_what_remains_above_each_threshold() -> None:
    curve = judge([SCALE], lambda _: shown("card", "slice.scale", slice="orders", instances=5)).curve
    assert {each.threshold: each.coverage for each in curve if each.threshold in (0.8, 0.9)} == {0.8: 1.0, 0.9: 0.0}


def test_the_suite_is_as_large_as_promised_and_shares_no_sentence_with_the_training() -> None:
    """A sentence that was trained on would measure memory."""
    suite = read_sentences(None)
    assert len(suite) >= 150
    assert len({each.lang for each in suite}) >= 5
    assert {each.operation for each in suite} <= set(INTENTS)
    place = place_of(suite)
    inventory = Inventory(slices=place.slices, nodes=place.nodes, blueprints=place.blueprints)
    trained = {sentence for sentence, _ in training_sentences()}
    known = [
        each.text for each in suite if each.card is not False and read_sentence(each.text, inventory).masked in trained
    ]
    assert known == []


def test_every_intent_is_an_operation_whose_members_it_can_name() -> None:
    """A card for what the catalogue does not have could never be proposed."""
    catalogue = make_catalogue()
    for name, intent in INTENTS.items():
        if name == NOTHING:
            continue
        operation = catalogue.find(name)
        assert isinstance(operation, Change) == intent.changes, name
        members = {MEMBER_OF.get(each, each) for each in (*intent.needs, *intent.takes)}
        assert members <= set(operation.request.__struct_fields__), name
        assert not (isinstance(operation, Change) and operation.risk == "critical"), name


def test_names_in_a_foreign_suite_are_taken_as_existing() -> None:
    place = place_of([Meant(text="x", operation="freeze.set", params={"subject": "slice:basket", "node": "edge-1"})])
    assert "basket" in place.slices
    assert "edge-1" in place.nodes


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    """JSON's texts may hold what other readers take for the end of a line; some editors begin a file with a mark."""
    file = tmp_path / "own.jsonl"
    file.write_bytes('\ufeff{"text": "one\u2028two\x85three", "operation": "none"}\r\n'.encode())
    assert [each.text for each in read_sentences(file)] == ["one\u2028two\x85three"]


def test_operations_that_there_are_not_are_told(tmp_path: Path) -> None:
    """A misspelt name would pass for a sentence that was not understood."""
    file = tmp_path / "own.jsonl"
    names = ("slice.scael", "slice.scale", "none")
    file.write_text("".join(f'{{"text": "scale orders to 5", "operation": "{each}"}}\n' for each in names))
    report = measure(file, Router(open_classifier(training_sentences(), letters_only=True)))
    assert report.unknown_operations == ("slice.scael",)


@pytest.mark.parametrize("line", ["{", '{"text": 1, "operation": "x"}', "[]", ""])
def test_a_suite_that_cannot_be_read_is_told_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(f"{line}\n")
    with pytest.raises(SentencesUnreadable):
        read_sentences(file)
