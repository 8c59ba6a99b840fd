"""One turn with a model at hand: guard, route, plan with tools that read, verify, tell. What rules are sure of needs
no model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, TypedDict, TypeVar

import anyio
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from controllers.conversations.telling import said as kept_words
from llm_layer.chat.asked import was_asked
from llm_layer.chat.events import Card, Concluded, Plot, Postponed, Text
from llm_layer.chat.rules import EXPLAIN, to_explain
from llm_layer.claims.answer import Answer
from llm_layer.claims.verify import problems_of
from llm_layer.desk import Plain
from llm_layer.errors import LlmFault
from llm_layer.graphs.answer_check import checked, gaps_of
from llm_layer.graphs.conclusion import Conclusion
from llm_layer.graphs.investigate import NO_MODEL, STRIKES, investigate
from llm_layer.graphs.looking import Looking
from llm_layer.graphs.mending import offered
from llm_layer.graphs.prompts import CHAT, TURNS_KEPT, conversation, system
from llm_layer.graphs.routing_help import pointed_at
from llm_layer.graphs.run import Effort, Run
from llm_layer.graphs.writing import Writing
from llm_layer.router.routing import SURE_SHARE, Routing
from llm_layer.router.slash import is_slash
from llm_layer.tools.visible import LOOKING
from runtime.security.redaction import redacted

CALLS_MAX: Final = 8
UNSAID_SHARE: Final = 0.25  # what lacks a name has a third of its share: "restart it"
ANSWER_CHARS_KEPT: Final = 1_500  # of each turn, for the turns after it
TOOLS: Final = (*LOOKING, "playbook.list", "slice.scale", "slice.restart")
COULD_NOT: Final = "I could not verify what the model answered, so I do not tell it. By rules:"

GOES_ON: Final = (
    "No model answered. As soon as one does, within the hour, it goes on with this, and tells in this conversation what"
    " it comes to."
)
NOT_ASKED: Final = (
    "The model filled in a change that you did not ask for by name, after it had read text that anybody may have"
    " written. I do not show it. If you want it, say what shall be changed and to what, or type its /command."
)

T = TypeVar("T")
Row = tuple[str, str, bool]
"""What was said, what was answered, and whether foreign text had been read by then."""


def newest(old: list[Row], new: list[Row]) -> list[Row]:
    return [*old, *new][-TURNS_KEPT:]


class Chatting(TypedDict, total=False):
    """Only `history` outlives the turn."""

    text: Annotated[str, UntrackedValue]
    explains: Annotated[str, UntrackedValue]
    """The slice to be investigated, where it is known that this is what is asked; else empty."""
    routing: Annotated[Routing | None, UntrackedValue]
    helped: Annotated[bool | None, UntrackedValue]
    """Whether the cheap model said which of the choices is meant; None before it was asked."""
    looking: Annotated[Looking[Answer], UntrackedValue]
    answer: Annotated[Answer | None, UntrackedValue]
    strikes: Annotated[int, UntrackedValue]
    trouble: Annotated[str, UntrackedValue]
    history: Annotated[list[Row], newest]


async def guard(state: Chatting, runtime: Runtime[Run]) -> Plain:
    """No secret of the person's reaches a model or the record. What was read in turns before still counts."""
    run = runtime.context
    run.tell = runtime.stream_writer
    tainted = any(row[2] for row in state.get("history", ()))
    run.book.tainted = run.book.tainted or tainted
    return {
        "text": redacted(state["text"]),
        "strikes": 0,
        "trouble": "",
        "answer": None,
        "routing": None,
        "helped": None,
    }


async def route(state: Chatting, runtime: Runtime[Run]) -> Plain:
    run = runtime.context
    if state["explains"]:
        return {"routing": to_explain(state["explains"])}
    if is_slash(state["text"]):
        return {}
    return {"routing": await run.rules.route(state["text"], run.desk, run.book)}


def who_answers(state: Chatting) -> Literal["by_rules", "explain", "help_out", "plan"]:
    routing = state["routing"]
    if routing is None:
        return "by_rules"
    first = routing.first
    if first is not None and first.changes and first.near is not None:
        return "by_rules"  # a misspelt name is asked back in exact words; a model might take it for the other
    if first is None or not (routing.sure or state["helped"]):
        return "help_out" if state["helped"] is None else "plan"
    return "explain" if first.operation == EXPLAIN else "by_rules"


async def help_out(state: Chatting, runtime: Runtime[Run]) -> Plain:
    """Asked once a turn, before the strong model would be."""
    routing = state["routing"]
    assert routing is not None
    found = await pointed_at(runtime.context, state["text"], routing)
    if found is not None and found.first is not None:
        runtime.context.tell(Text(text=f"With a model's help I take this for `{found.first.operation}`."))
    return {"helped": found is not None, "routing": found or routing}


async def by_rules(state: Chatting, runtime: Runtime[Run]) -> Plain:
    """Also where a model gave nothing that could be told."""
    run, routing, said = runtime.context, state["routing"], []
    if state["trouble"]:
        if (looking := state.get("looking")) is not None:
            looking.take_back()
        run.tell(Text(text=state["trouble"]))
    answers = (
        run.rules.answer(state["text"], run.desk, run.book)
        if routing is None
        else run.rules.carry_out(routing, run.desk, run.book, alone=False)
    )
    kind = "failed"
    async for each, event in answers:
        kind = each
        run.tell_looked()
        run.tell(event)
        said.append(event.text if isinstance(event, Text) else f"({type(event).__name__.lower()})")
    return _ended(state, run, " ".join(said), "rules_after_model" if state["trouble"] else kind)


async def explain(state: Chatting, runtime: Runtime[Run]) -> Plain:
    run, routing = runtime.context, state["routing"]
    assert routing is not None
    assert routing.first is not None
    name = str(routing.first.params["slice"])
    conclusion, by, diagnosis, unanswered = await investigate(run, name, state["text"])
    run.answered_by = by
    tell_conclusion(run, conclusion, by)
    if unanswered and run.saver is not None:
        run.tell(Text(text=GOES_ON))
        run.tell(Postponed(slice=name, incident=run.incident))
    advice = run.rules.advice_on(diagnosis)
    if advice is not None and set(conclusion.roots) & set(diagnosis.roots):
        run.tell(advice)  # what rules would do about the same cause
    return _ended(state, run, " ".join(each.text for each in conclusion.claims), "diagnosis")


async def plan(state: Chatting, runtime: Runtime[Run]) -> Plain:
    """Asks the model, again where its answer could not be verified. What rules make of the sentence is told
    meanwhile, if the model takes long."""
    run = runtime.context
    looking = state.get("looking") if state["strikes"] else None
    if looking is None:
        asked = conversation([row[:2] for row in state.get("history", ())], state["text"])
        effort = Effort(calls_max=CALLS_MAX, stale_max=CALLS_MAX)
        looking = Looking(
            run,
            system=system(CHAT),
            asked=asked,
            operations=TOOLS,
            own=offered(run, state["text"]),
            answer=Answer,
            effort=effort,
            writing=Writing(run.tell, lambda: run.ground(state["text"])),
        )
    try:
        return {"looking": looking, "answer": await patiently(run, looking.answer, lambda: _meanwhile(state, run))}
    except NO_MODEL as fault:
        return {"looking": looking, "answer": None, "trouble": f"{_why(fault)} By rules:"}


async def verify(state: Chatting, runtime: Runtime[Run]) -> Plain:
    run, answer = runtime.context, state["answer"]
    if answer is None:
        return {}
    problems = problems_of(answer, run.ground(state["text"]))
    if not problems:
        return {}
    strikes = state["strikes"] + 1
    state["looking"].object_to(problems)
    return {"answer": None, "strikes": strikes, "trouble": COULD_NOT if strikes >= STRIKES else ""}


def what_next(state: Chatting) -> Literal["answered", "plan", "by_rules"]:
    if state["answer"] is not None:
        return "answered"
    return "by_rules" if state["trouble"] else "plan"


async def answered(state: Chatting, runtime: Runtime[Run]) -> Plain:
    run, answer = runtime.context, state["answer"]
    assert answer is not None
    run.answered_by = "model"
    for claim in answer.claims:
        run.tell(Text(text=claim.text, evidence=claim.evidence))
    found = await checked(run, answer.claims, state["text"])
    if found is not None:
        run.tell(found)
    for each in answer.plots:
        drawn, evidence = run.toolbox.noted.plots[each]
        run.tell(Plot(name=drawn.name, unit="", step_s=drawn.step_s, values=drawn.values, evidence=(evidence,)))
    cards = _asked_for(state, run)
    for card in cards:
        run.tell(card)
    kind = "card" if cards else await _left_open(state, run)
    return _ended(state, run, " ".join([*(each.text for each in answer.claims), *gaps_of(found)]), kind)


async def _left_open(state: Chatting, run: Run) -> str:
    """Who asked for a change that cannot be filled in, as a number is beyond what there may be or a name is not said,
    is told by rules what is missing, and not in a model's words alone."""
    routing = state["routing"]
    first = routing.first if routing is not None else None
    if routing is None or first is None:
        return "answer"
    bar = UNSAID_SHARE if routing.unsaid else SURE_SHARE
    if routing.kind != "choices" or not first.changes or first.share < bar:
        return "answer"
    async for _, event in run.rules.carry_out(routing, run.desk, run.book, alone=False):
        run.tell(event)
    return "choices"


def _asked_for(state: Chatting, run: Run) -> list[Card]:
    """Of what the model filled in. Once text of others was read, nothing but what the person asked for is shown."""
    filled = list(run.toolbox.noted.cards.values())
    if not run.book.tainted:
        return filled
    said = [*(row[0] for row in state.get("history", ())), state["text"]]
    asked = [each for each in filled if was_asked(each, state["routing"], said)]
    if len(asked) < len(filled):
        run.tell(Text(text=NOT_ASKED))
    return asked


def tell_conclusion(run: Run, conclusion: Conclusion, by: str) -> None:
    """Of rules it was told before: only what they are worth is added."""
    said = Concluded(
        roots=conclusion.roots,
        mechanism=conclusion.mechanism,
        confidence=conclusion.confidence,
        gaps=conclusion.gaps,
        by=by,
    )
    run.tell(said)
    for claim in conclusion.claims if by == "model" else ():
        run.tell(Text(text=claim.text, evidence=claim.evidence))
    for gap in conclusion.gaps:
        run.tell(Text(text=f"Not known: {gap}."))


async def patiently(run: Run, work: Callable[[], Awaitable[T]], meanwhile: Callable[[], Awaitable[None]]) -> T:
    """meanwhile: done once, if the work takes long. Raises what the work raises."""
    found: list[T] = []
    failed: LlmFault | None = None

    async def late() -> None:
        await anyio.sleep(run.slow_s)
        await meanwhile()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        try:
            found.append(await work())
        except LlmFault as fault:
            failed = fault
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return found[0]


async def _meanwhile(state: Chatting, run: Run) -> None:
    routing = state["routing"]
    assert routing is not None
    run.tell(Text(text="The model takes long. What rules make of it meanwhile:"))
    try:
        async for _, event in run.rules.carry_out(routing, run.desk, run.book, alone=False):
            run.tell_looked()
            run.tell(event)
    except LlmFault as fault:
        run.tell(Text(text=f"Not known: {fault}."))


def _why(fault: LlmFault) -> str:
    return f"No model gave an answer that I can tell ({fault})."


def _ended(state: Chatting, run: Run, words: str, kind: str) -> Plain:
    """What is kept goes to a model with the turns after it: of a command that takes secrets, its name alone."""
    run.tell_looked()
    run.kind = kind
    row = (kept_words(state["text"], run.toolbox.takes_secrets), redacted(words)[:ANSWER_CHARS_KEPT], run.book.tainted)
    return {"history": [row]}


def graph(saver: BaseCheckpointSaver[Any] | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """saver: keeps the conversation's history, if there is a conversation."""
    building = StateGraph(Chatting, context_schema=Run)
    for node in (guard, route, help_out, by_rules, explain, plan, verify, answered):
        building.add_node(node.__name__, node)
    building.add_edge(START, "guard")
    building.add_edge("guard", "route")
    building.add_conditional_edges("route", who_answers, ["by_rules", "explain", "help_out", "plan"])
    building.add_conditional_edges("help_out", who_answers, ["by_rules", "explain", "plan"])
    building.add_edge("plan", "verify")
    building.add_conditional_edges("verify", what_next, ["answered", "plan", "by_rules"])
    for last in ("by_rules", "explain", "answered"):
        building.add_edge(last, END)
    return building.compile(checkpointer=saver)
