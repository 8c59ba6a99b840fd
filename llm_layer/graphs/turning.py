"""A turn of a conversation through the chat graph: what it works with is put together, and its events are passed on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from llm_layer.chat.events import Done, Event, Text
from llm_layer.chat.names import read_inventory
from llm_layer.chat.talk import Given
from llm_layer.errors import LlmFault
from llm_layer.graphs import chat
from llm_layer.graphs.remediate import resume
from llm_layer.graphs.run import Run
from llm_layer.tools.toolbox import Toolbox

THREAD: Final = "chat"  # on the conversation's shelf
STEPS_MAX: Final = 30  # of a graph; the longest way through a turn has nine


async def turned(text: str, given: Given, explains: str = "") -> AsyncGenerator[Event]:
    """explains: the slice to be investigated, where that is known. Raises DeskRefused, SlashInvalid. The last event is
    Done."""
    run = await opened(given)
    config: Any = {"configurable": {"thread_id": THREAD}, "recursion_limit": STEPS_MAX}
    graph = chat.graph(run.saver)
    keeps: Any = {"durability": "exit"} if run.saver is not None else {}
    try:
        asked = {"text": text, "explains": explains}
        async for event in graph.astream(asked, config, context=run, stream_mode="custom", **keeps):
            yield event
    except LlmFault as fault:
        if not run.kind:
            raise
        yield Text(text=f"This turn is not remembered: {fault}.")  # it was answered; keeping it comes last
    yield done_of(run)


async def resumed(proposal: str, ended: str, given: Given) -> AsyncGenerator[Event]:
    """What came of a change that this turn had proposed. Raises DeskRefused. The last event is Done."""
    run = await opened(given)
    said: list[Event] = []
    run.tell = said.append
    if run.saver is not None:
        await resume(run, proposal, ended, run.saver)
    for event in said:
        yield event
    run.kind = "followed"
    yield done_of(run)


async def opened(given: Given) -> Run:
    """Raises DeskRefused."""
    talk, book = given.talk, given.book
    book.tainted = book.tainted or talk.tainted
    inventory = await read_inventory(book)
    names = {
        "slice": inventory.slices,
        "node": inventory.nodes,
        "blueprint": inventory.blueprints,
        "playbook": inventory.playbooks,
    }
    toolbox = Toolbox(catalogue=given.catalogue, desk=given.desk, book=book, names=names)
    return Run(
        of=talk.run,
        models=talk.models,
        rules=given.rules,
        toolbox=toolbox,
        book=book,
        desk=given.desk,
        tell=_nobody,
        slow_s=talk.slow_s,
        saver=talk.keeper() if talk.keeper is not None else None,
    )


def _nobody(_event: Event) -> None:
    """Before the graph runs nobody listens."""


def done_of(run: Run) -> Done:
    spent = run.spent
    return Done(
        answered_by=run.answered_by,
        kind=run.kind or "failed",
        asked=0,
        taken_ms=0.0,
        model=", ".join(spent.by),
        tokens=spent.usage.total,
        cost_micros=spent.cost_micros,
        tainted=run.book.tainted,
    )
