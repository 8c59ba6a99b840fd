"""Sentences that people teach: kept, replaced, forgotten, undone, and never more than fit."""

from __future__ import annotations

import pytest

from runtime.operations import phrases
from runtime.operations.dispatch import Applied, Refused, Submission
from runtime.operations.phrases import phrase_id
from runtime.state import keys
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio
DIET = "diet for SLICE"


async def teach(hand: GateOnHand, sentence: str, operation: str = "slice.scale") -> object:
    request = {"sentence": sentence, "operation": operation}
    return await hand.link.submit(Submission(operation="phrase.teach", request=request, actor=person("anna")))


async def on_hand() -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    return hand


async def test_the_meaning_taught_last_is_kept_and_undoing_gives_the_one_before() -> None:
    hand = await on_hand()
    assert isinstance(await teach(hand, DIET), Applied)
    second = await teach(hand, DIET, "slice.restart")
    assert isinstance(second, Applied)
    assert second.inverse is not None
    assert (second.inverse.operation, second.inverse.request["operation"]) == ("phrase.teach", "slice.scale")
    item = hand.state.get(keys.phrase(phrase_id(DIET)))
    assert item is not None
    assert b"slice.restart" in item.value


async def test_what_is_forgotten_can_be_taught_again() -> None:
    hand = await on_hand()
    await teach(hand, DIET)
    request = {"id": phrase_id(DIET)}
    forget = Submission(operation="phrase.forget", request=dict(request), actor=person("anna"))
    done = await hand.link.submit(forget)
    assert isinstance(done, Applied)
    assert done.inverse is not None
    assert done.inverse.request == {"sentence": DIET, "operation": "slice.scale"}
    again = await hand.link.submit(forget)
    assert isinstance(again, Refused)
    assert again.code == "phrase_not_found"


async def test_no_more_are_taught_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond, a transaction would compare more keys than the store takes; one that is there may still be changed."""
    monkeypatch.setattr(phrases, "PHRASES_MAX", 1)
    hand = await on_hand()
    await teach(hand, DIET)
    refused = await teach(hand, "another SLICE")
    assert isinstance(refused, Refused)
    assert refused.code == "too_many_phrases"
    assert isinstance(await teach(hand, DIET, "slice.restart"), Applied)
