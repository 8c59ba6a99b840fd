"""When the third scaling layer is asked, and that whatever it does the safer of the lower two decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import msgspec
import pytest
from anyio.abc import TaskGroup

from controllers.scaling.arbitration import arbitrate
from controllers.scaling.model import (
    QUANTILES,
    Because,
    Choice,
    Decision,
    Forecast,
    Layer,
    LayerDecision,
    Opinion,
    ScalingPolicy,
    SliceSeen,
    Surroundings,
)
from controllers.scaling.reasoning import (
    ASK_S,
    ASKED_AT_ONCE,
    UNCERTAIN_S,
    Asker,
    Question,
    is_wide,
    occasion_of,
)
from runtime.sdk.testing import CollectedLog
from tests.unit.gate_parts import HandClock

pytestmark = pytest.mark.anyio
SEEN = SliceSeen(rate=50.0, serving=6, rate_per_instance=10.0, least=2, most=12)


def layers(tree: int, forecast: int) -> tuple[LayerDecision, LayerDecision]:
    return (
        LayerDecision(layer=Layer.TREE, wanted=tree, because=Because.RULES),
        LayerDecision(layer=Layer.FORECAST, wanted=forecast, because=Because.FORECAST),
    )


def decided(tree: int, forecast: int, layer: Layer = Layer.TREE) -> Decision:
    wanted = max(tree, forecast)
    return Decision(
        wanted=wanted, need=wanted, asked=wanted, layer=layer, because=(Because.RULES,), layers=layers(tree, forecast)
    )


def ahead(middle: float, high: float) -> Forecast:
    """Rates by quantile: the middle up to the half, `high` from 95 % on."""
    rates = tuple(middle if each <= 0.5 else high if each >= 0.95 else (middle + high) / 2 for each in QUANTILES)
    return Forecast(soon=rates, later=rates)


CONFLICT, AGREED = decided(8, 4), decided(6, 6)


@pytest.mark.parametrize(
    ("decision", "seen", "burns", "occasion"),
    [
        (CONFLICT, SEEN, False, "conflict"),
        (AGREED, SEEN, True, "burn"),
        (AGREED, msgspec.structs.replace(SEEN, forecast=ahead(40.0, 120.0)), False, "uncertain"),
        (AGREED, msgspec.structs.replace(SEEN, forecast=ahead(40.0, 60.0)), False, None),
        (AGREED, SEEN, False, None),
        (decided(8, 4, Layer.GUARD), SEEN, True, None),
        (msgspec.structs.replace(AGREED, layers=()), SEEN, True, None),
    ],
)
def test_it_is_asked_where_layers_contradict_where_the_budget_burns_and_where_the_forecast_is_wide(
    decision: Decision, seen: SliceSeen, burns: bool, occasion: str | None
) -> None:
    assert occasion_of(decision, seen, burns=burns) == occasion


def test_a_forecast_is_wide_by_instances_and_not_by_calls() -> None:
    assert not is_wide(None, 10.0)
    assert not is_wide(ahead(1.0, 9.0), 10.0), "one instance carries either"
    assert not is_wide(ahead(40.0, 120.0), 0.0), "what an instance carries is not known"
    assert is_wide(ahead(0.0, 20.0), 10.0)


@dataclass
class Memory:
    opinion: Opinion | None = None
    asked_at_s: float = float("-inf")


@dataclass
class Layer3:
    """Answers at once, never, or by raising."""

    answer: Callable[[], Opinion | None] = lambda: Opinion(choice=Choice.FORECAST, reason="the peak is over")
    hangs: bool = False
    asked: list[Question] = field(default_factory=list)

    async def consider(self, question: Question) -> Opinion | None:
        self.asked.append(question)
        if self.hangs:
            await anyio.sleep_forever()
        return self.answer()


class World:
    def __init__(self, layer: Layer3, *, burning: frozenset[str] = frozenset()) -> None:
        self.clock = HandClock()
        self.log = CollectedLog()
        self.layer = layer
        self.asker = Asker(layer, burning=lambda: burning, clock=self.clock, log=self.log)

    async def offer(self, memory: Memory, decision: Decision = CONFLICT, *, seen: SliceSeen = SEEN) -> None:
        """All that it begins has ended after it."""
        async with anyio.create_task_group() as tasks:
            self.begin(memory, tasks, decision, seen=seen)

    def begin(self, memory: Memory, tasks: TaskGroup, decision: Decision = CONFLICT, *, seen: SliceSeen = SEEN) -> None:
        question = Question(slice="orders", seen=seen, around=Surroundings(), otherwise=decision)
        self.asker.offer(question, memory, lambda: decision, tasks)


async def test_it_is_asked_once_a_minute_and_its_answer_holds_as_long() -> None:
    world, memory = World(Layer3()), Memory()
    for _ in range(3):
        await world.offer(memory)
    assert [each.occasion for each in world.layer.asked] == ["conflict"]
    held = memory.opinion
    assert held is not None
    world.clock.now_ms += int(ASK_S * 1_000)
    await world.offer(memory, AGREED)
    assert len(world.layer.asked) == 1
    assert Memory(opinion=memory.opinion).opinion is None, "it held for its minute"


async def test_a_burn_is_told_as_one_and_a_wide_forecast_is_asked_about_seldom() -> None:
    world, memory = World(Layer3(), burning=frozenset({"orders"})), Memory()
    await world.offer(memory, AGREED)
    assert [each.occasion for each in world.layer.asked] == ["burn"]
    wide = msgspec.structs.replace(SEEN, forecast=ahead(40.0, 120.0))
    world, memory = World(Layer3()), Memory()
    for _ in range(int(2 * UNCERTAIN_S / ASK_S)):
        await world.offer(memory, AGREED, seen=wide)
        world.clock.now_ms += int(ASK_S * 1_000)
    assert [each.occasion for each in world.layer.asked] == ["uncertain"] * 2


async def test_no_more_than_two_are_asked_about_at_once() -> None:
    world = World(Layer3(hangs=True))
    async with anyio.create_task_group() as tasks:
        for _ in range(ASKED_AT_ONCE + 3):
            world.begin(Memory(), tasks)
        await anyio.wait_all_tasks_blocked()
        assert len(world.layer.asked) == ASKED_AT_ONCE
        tasks.cancel_scope.cancel()


def fails() -> Opinion | None:
    raise RuntimeError("no reply")


@pytest.mark.parametrize("answer", [fails, lambda: None])
async def test_on_any_failure_the_safer_of_the_lower_layers_decides(answer: Callable[[], Opinion | None]) -> None:
    """The one that keeps more capacity, whichever it is."""
    world, memory = World(Layer3(answer=answer)), Memory()
    await world.offer(memory)
    assert (len(world.layer.asked), memory.opinion) == (1, None)
    for tree, forecast in ((8, 4), (4, 8)):
        found = arbitrate(ScalingPolicy(), SEEN, Surroundings(), layers(tree, forecast), memory.opinion)
        assert (found.wanted, found.layer) == (8, Layer.TREE if tree > forecast else Layer.FORECAST)


async def test_one_that_failed_holds_no_place() -> None:
    world = World(Layer3(answer=fails))
    for _ in range(ASKED_AT_ONCE + 1):
        await world.offer(Memory())
    assert len(world.layer.asked) == ASKED_AT_ONCE + 1
    assert [each.event for each in world.log.lines] == ["reasoning_failed"] * (ASKED_AT_ONCE + 1)
