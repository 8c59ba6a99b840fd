"""Checkpoints of graphs on a conversation's shelf: langgraph's own suite for savers, and what it does not ask."""

from __future__ import annotations

import operator
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.serde.types import ERROR
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from llm_layer.checkpoints.packing import CheckpointUnreadable, Packing
from llm_layer.checkpoints.saver import ShelfSaver

pytestmark = pytest.mark.anyio
os.environ["LANGSMITH_TRACING"] = "false"


class HandShelf:
    """Bytes by name; `writes` counts how often it was written to."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}
        self.writes = 0

    async def put(self, items: Mapping[str, bytes]) -> None:
        self.writes += 1
        self.items |= items

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        return {name: self.items[name] for name in names if name in self.items}

    async def list(self, prefix: str) -> list[str]:
        return sorted(name for name in self.items if name.startswith(prefix))

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.items.pop(name, None)


@checkpointer_test(name="ShelfSaver")
async def shelf_saver() -> AsyncGenerator[ShelfSaver, None]:
    yield ShelfSaver(HandShelf())


async def test_langgraph_s_own_suite_finds_nothing() -> None:
    """Of all that a saver can do, the optional too."""
    report = await validate(shelf_saver)
    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert set(report.results) == {each.value for each in Capability}


class Steps(TypedDict):
    seen: Annotated[list[str], operator.add]


def asking(shelf: HandShelf, *, kept: int = 0) -> Any:
    """A graph that notes, asks a person, and notes the answer."""

    def note(_state: Steps) -> dict[str, list[str]]:
        return {"seen": ["noted"]}

    def ask(_state: Steps) -> dict[str, list[str]]:
        return {"seen": [interrupt("may I?")]}

    graph = StateGraph(Steps)
    graph.add_node("note", note)
    graph.add_node("ask", ask)
    graph.add_edge(START, "note")
    graph.add_edge("note", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=ShelfSaver(shelf, kept=kept))


CONFIG: RunnableConfig = {"configurable": {"thread_id": "chat"}}


async def test_a_graph_that_waits_is_gone_on_with_by_another_process() -> None:
    """Nothing but the shelf is common to the two."""
    shelf = HandShelf()
    waits = await asking(shelf).ainvoke({"seen": ["begun"]}, CONFIG, durability="exit")
    assert waits["__interrupt__"][0].value == "may I?"
    assert shelf.writes <= 3
    done = await asking(shelf).ainvoke(Command(resume="yes"), CONFIG, durability="exit")
    assert done["seen"] == ["begun", "noted", "yes"]


async def test_only_the_newest_checkpoints_are_kept_where_so_many_are_wished() -> None:
    shelf = HandShelf()
    for _ in range(5):
        await asking(shelf, kept=2).ainvoke({"seen": ["again"]}, CONFIG, durability="exit")
    found = [each async for each in ShelfSaver(shelf).alist(CONFIG)]
    assert len(found) == 2
    assert found[0].checkpoint["channel_values"]["seen"].count("again") == 5


@pytest.mark.parametrize("thread", ["a/b", "..", "", "ä %2F|x", "-"])
async def test_any_text_may_be_a_thread(thread: str) -> None:
    saver = ShelfSaver(HandShelf())
    config: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": "a|b:c"}}
    stored = await saver.aput(config, empty_checkpoint(), {}, {})
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.config == stored
    assert await saver.aget_tuple({"configurable": {"thread_id": f"{thread}x", "checkpoint_ns": "a|b:c"}}) is None


@dataclass
class Plan:
    steps: int


async def test_only_known_types_are_made_again_on_reading() -> None:
    """A checkpoint that somebody altered must not choose what is run."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"plan": Plan(steps=3)}
    shelf = HandShelf()
    await ShelfSaver(shelf).aput({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, checkpoint, {}, {})
    for known, expected in (((Plan,), Plan(steps=3)), ((), None)):
        found = await ShelfSaver(shelf, known=known).aget_tuple({"configurable": {"thread_id": "t"}})
        assert found is not None
        plan = found.checkpoint["channel_values"]["plan"]
        assert plan == expected if expected is not None else not isinstance(plan, Plan)


@pytest.mark.parametrize("kind", ["pickle", "json", "os"])
def test_kinds_that_name_code_are_not_read(kind: str) -> None:
    packing = Packing()
    packing.serde.dumps_typed = lambda _value: (kind, b"{}")  # type: ignore[method-assign]  # what somebody else wrote
    raw = packing.state(empty_checkpoint(), {}, "")
    with pytest.raises(CheckpointUnreadable, match=kind):
        Packing().read_state(raw)


@pytest.mark.parametrize("raw", [b"", b"no zstd", b"\x28\xb5\x2f\xfd"])
def test_bytes_that_are_none_are_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(CheckpointUnreadable):
        Packing().read_state(raw)


async def test_what_a_task_wrote_first_stays_and_of_an_error_the_last() -> None:
    """A task that is run again after its node died must not change what the graph goes on with."""
    saver = ShelfSaver(HandShelf())
    place = await saver.aput({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, empty_checkpoint(), {}, {})
    for value in ("first", "second"):
        await saver.aput_writes(place, [("seen", value), (ERROR, value)], "task")
    found = await saver.aget_tuple(place)
    assert found is not None
    assert sorted(found.pending_writes or [], key=str) == [("task", ERROR, "second"), ("task", "seen", "first")]
