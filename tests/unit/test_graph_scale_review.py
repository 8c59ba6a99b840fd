"""The third layer's opinion: a choice with a reason, or none, and then the layers below decide."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from controllers.scaling.model import (
    Because,
    Choice,
    Decision,
    Layer,
    LayerDecision,
    Opinion,
    SliceSeen,
    Surroundings,
)
from controllers.scaling.reasoning import Question
from llm_layer.graphs.scale_review import review
from llm_layer.providers.asking import Models
from tests.unit.scripted_model import Line, Scripted, says, stopped

LAYERS = (
    LayerDecision(layer=Layer.TREE, wanted=8, because=Because.RULES),
    LayerDecision(layer=Layer.FORECAST, wanted=4, because=Because.FORECAST),
)
QUESTION = Question(
    slice="orders",
    seen=SliceSeen(rate=50.0, serving=6, rate_per_instance=10.0, least=2, most=12),
    around=Surroundings(),
    otherwise=Decision(wanted=8, need=8, asked=8, layer=Layer.TREE, because=(Because.RULES,), layers=LAYERS),
)


def opinion(*lines: Line) -> Opinion | None:
    async def go() -> Opinion | None:
        return await review(Models([Scripted(list(lines))]), QUESTION)

    return anyio.run(go)


def reply(**members: Any) -> Any:
    return says(**{"choice": "forecast", "reason": "the peak is over", "instances": 0, **members})


def test_it_chooses_with_a_reason() -> None:
    assert opinion(reply()) == Opinion(choice=Choice.FORECAST, reason="the peak is over")
    custom = opinion(reply(choice="custom", instances=6))
    assert custom is not None
    assert (custom.choice, custom.instances) == (Choice.CUSTOM, 6)


def test_a_number_that_a_layer_wants_anyway_is_that_layer_s() -> None:
    """And needs nobody's consent then."""
    found = opinion(reply(choice="custom", instances=4))
    assert found == Opinion(choice=Choice.FORECAST, reason="the peak is over")


@pytest.mark.parametrize(
    "line",
    [
        reply(choice="custom", instances=13),
        reply(choice="custom", instances=1),
        reply(choice="all of them"),
        reply(reason=""),
        stopped("end", "forecast, I think"),
        stopped("refused"),
        RuntimeError,
    ],
)
def test_whatever_is_wrong_is_no_opinion(line: Any) -> None:
    assert opinion(*([] if line is RuntimeError else [line])) is None
