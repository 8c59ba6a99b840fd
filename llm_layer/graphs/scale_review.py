"""The third opinion on scaling: asked where the two layers below contradict each other. Whatever goes wrong, they
decide alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict

import msgspec
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from msgspec import Meta

from controllers.scaling.model import Choice, Opinion
from controllers.scaling.reasoning import Question
from llm_layer.claims.answer import schema_for
from llm_layer.desk import Plain
from llm_layer.graphs.prompts import SCALE, given, system
from llm_layer.providers.entry import ModelEntry
from llm_layer.providers.errors import ModelsAbsent, ModelsExhausted
from llm_layer.providers.messages import Ask
from llm_layer.tools.quoting import quoted

TOKENS_MAX: Final = 400  # a choice and one sentence
REASON_CHARS_MAX: Final = 300


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`instances` counts with custom alone."""

    choice: Choice
    reason: Annotated[str, Meta(min_length=1, max_length=REASON_CHARS_MAX)]
    instances: Annotated[int, Meta(ge=0, le=1_000)]


@dataclass(frozen=True, slots=True)
class Asking:
    """What the graph works with."""

    models: ModelEntry


class Reviewing(TypedDict, total=False):
    question: Question
    opinion: Opinion | None


async def review(models: ModelEntry, question: Question) -> Opinion | None:
    """None is no opinion: the safer of the two layers below holds then."""
    state = await graph().ainvoke({"question": question, "opinion": None}, context=Asking(models))
    opinion: Opinion | None = state["opinion"]
    return opinion


async def choose(state: Reviewing, runtime: Runtime[Asking]) -> Plain:
    ask = Ask(
        system=system(SCALE),
        messages=(given(question=quoted(msgspec.to_builtins(state["question"]))),),
        answer_schema=schema_for(Chosen),
        tokens_max=TOKENS_MAX,
    )
    try:
        reply = await runtime.context.models.ask(ask)
        chosen = msgspec.convert(reply.answer, Chosen)
    except (ModelsAbsent, ModelsExhausted, msgspec.ValidationError):
        return {"opinion": None}
    return {"opinion": Opinion(choice=chosen.choice, reason=chosen.reason, instances=chosen.instances)}


async def hold_to_bounds(state: Reviewing) -> Plain:
    """A number of its own beyond the slice's bounds, or one that a layer wants anyway, is no opinion of its own."""
    opinion, question = state["opinion"], state["question"]
    if opinion is None or opinion.choice is not Choice.CUSTOM:
        return {}
    if not question.seen.least <= opinion.instances <= question.seen.most:
        return {"opinion": None}
    same = next((each for each in question.otherwise.layers if each.wanted == opinion.instances), None)
    if same is None:
        return {}
    return {"opinion": msgspec.structs.replace(opinion, choice=Choice(same.layer), instances=0)}


def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    building = StateGraph(Reviewing, context_schema=Asking)
    building.add_node("choose", choose)
    building.add_node("hold_to_bounds", hold_to_bounds)
    building.add_edge(START, "choose")
    building.add_edge("choose", "hold_to_bounds")
    building.add_edge("hold_to_bounds", END)
    return building.compile(checkpointer=False)
