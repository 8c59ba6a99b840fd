"""From a diagnosis to changes that people decide about, one at a time: match, plan, a way back, the gate. There a
segment ends; it goes on when the proposal has ended, looks whether it helped, and closes or proposes the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypedDict, cast

import msgspec
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from msgspec import Meta

from llm_layer.chat.events import ProposalMade, Text
from llm_layer.desk import Because, DeskRefused, GuardWanted, Plain
from llm_layer.diagnosis.decide import diagnose
from llm_layer.diagnosis.gathering import Gathering
from llm_layer.evidence import EvidenceBook
from llm_layer.graphs.answer_check import DOUBTED
from llm_layer.graphs.conclusion import Conclusion
from llm_layer.graphs.investigate import NO_MODEL, STRIKES
from llm_layer.graphs.looking import Looking
from llm_layer.graphs.prompts import MATCH, given, system
from llm_layer.graphs.run import Effort, Run
from llm_layer.tools.quoting import quoted

CALLS_MAX: Final = 8
STEPS_MAX: Final = 2  # changes of one remedy; more is a playbook's business
GRAPH_STEPS_MAX: Final = 30
EVIDENCE_MAX: Final = 16  # of twenty that a proposal holds
TOOLS: Final = (
    "playbook.list",
    "playbook.show",
    "slice.show",
    "topology.show",
    "playbook.run",
    "slice.scale",
    "slice.restart",
    "slice.set-bounds",
    "slice.set-routing-weights",
    "instance.kill",
    "node.cordon",
    "node.drain",
    "node.activate",
    "controller.pin",
)
GUARDED: Final = GuardWanted(metric="errors_share", bound=0.2, window_s=300)
"""What undoes a change of a slice by itself: one call in five failing within five minutes."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`cards` are those that tools made, in the order in which they are to be tried."""

    cards: Annotated[tuple[str, ...], Meta(max_length=STEPS_MAX)]
    why: Annotated[str, Meta(max_length=600, description="Why this mends it, or why nothing does.")]


class Remediating(TypedDict, total=False):
    """Plain data, as it is kept. `at`: the step under way. `ended`: what became of its proposal, and what of the
    whole."""

    slice: str
    question: str
    conclusion: Plain
    steps: list[Plain]
    why: str
    at: int
    proposal: str
    ended: str
    outcome: str


async def remediate(
    run: Run, conclusion: Conclusion, name: str, question: str, saver: BaseCheckpointSaver[Any] | None
) -> Plain:
    """The state at the end of the first segment. saver: without one nobody looks whether it helped."""
    state: Remediating = {"slice": name, "question": question, "conclusion": msgspec.to_builtins(conclusion), "at": 0}
    return cast(Plain, await graph(saver).ainvoke(state, _config(run), context=run, **_keeping(saver)))


async def resume(run: Run, proposal: str, ended: str, saver: BaseCheckpointSaver[Any]) -> Plain | None:
    """Goes on where a segment ended. None where none waits for this proposal: that it ended changes nothing then."""
    building = graph(saver)
    kept = await building.aget_state(_config(run))
    if not kept.next or kept.values.get("proposal") != proposal:
        return None
    going_on: Any = Command(resume={"proposal": proposal, "ended": ended})
    state = await building.ainvoke(going_on, _config(run), context=run, **_keeping(saver))
    if state.get("outcome"):
        await saver.adelete_thread(run.of.thread)  # nothing waits any more
    return cast(Plain, state)


def _config(run: Run) -> Any:
    return {"configurable": {"thread_id": run.of.thread}, "recursion_limit": GRAPH_STEPS_MAX}


def _keeping(saver: object) -> Any:
    return {"durability": "exit"} if saver is not None else {}


async def match(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """A playbook with its parameters, or operations: each is planned by the cluster when its tool is called."""
    run = runtime.context
    looking = Looking(
        run,
        system=system(MATCH),
        asked=[given(slice=state["slice"], question=state["question"], conclusion=quoted(state["conclusion"]))],
        operations=TOOLS,
        answer=Chosen,
        effort=Effort(calls_max=CALLS_MAX, stale_max=CALLS_MAX),
    )
    before = dict(run.toolbox.noted.cards)
    try:
        for _ in range(STRIKES):
            chosen = await looking.answer()
            cards = run.toolbox.noted.cards
            unknown = [each for each in chosen.cards if each not in cards]
            if not unknown:
                steps = [{"operation": cards[each].operation, "request": cards[each].request} for each in chosen.cards]
                return {"steps": steps, "why": chosen.why, "outcome": "" if steps else "nothing"}
            looking.object_to([f"no tool made a card {each!r}" for each in unknown])
    except NO_MODEL as fault:
        return {"steps": [], "why": str(fault), "outcome": "handed_over"}
    finally:
        run.toolbox.noted.cards = before  # what becomes of these is a proposal, and no card for the person
    return {"steps": [], "why": "the model named changes that nobody planned", "outcome": "handed_over"}


async def dry_run(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """What the step under way would do now, by the cluster's own planner."""
    run, step = runtime.context, state["steps"][state["at"]]
    request = cast(Plain, step["request"])
    try:
        if step["operation"] == "playbook.run":
            shown = await run.desk.ask(
                "playbook.plan", {each: request[each] for each in ("playbook", "params") if each in request}
            )
            if not shown.get("startable"):
                return {"outcome": "refused", "why": f"playbook {request['playbook']} cannot be started now"}
        plan = await run.desk.plan(str(step["operation"]), request)
    except DeskRefused as refused:
        return {"outcome": "refused", "why": str(refused)}
    planned = {**step, "summary": str(plan.get("summary", "")), "inverse": plan.get("inverse")}
    return {"steps": [*state["steps"][: state["at"]], planned, *state["steps"][state["at"] + 1 :]]}


async def way_back(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """Known before anybody is asked: an inverse with a guard that runs it, a playbook's own undoing, or none."""
    step = state["steps"][state["at"]]
    request, inverse = cast(Plain, step["request"]), step.get("inverse")
    if step["operation"] == "playbook.run":
        rollback, guard = "the playbook undoes its own steps", False
    elif inverse is not None:
        undoing = cast(Plain, inverse)
        rollback, guard = (
            f"{undoing['operation']} {msgspec.json.encode(undoing['request']).decode()}",
            "slice" in request,
        )
    else:
        rollback, guard = "there is no way back by itself", False
    planned = {**step, "rollback": rollback, "guard": guard}
    return {"steps": [*state["steps"][: state["at"]], planned, *state["steps"][state["at"] + 1 :]]}


async def propose(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """Through the gate, once for this run and step however often the segment begins anew."""
    run, step = runtime.context, state["steps"][state["at"]]
    because = Because(
        reason=f"{_doubted(state)}{state['conclusion'].get('mechanism')}: {state['why']}"[:1_000],
        evidence=(
            run.of.evidence,
            *(f"{each.id} {each.operation} at {each.revision}" for each in run.book.all[:EVIDENCE_MAX]),
        ),
        tainted=run.book.tainted,
        key=f"{run.of.id}/{state['at']}",
        guard=GUARDED if step["guard"] else None,
    )
    try:
        made = await run.desk.propose(str(step["operation"]), cast(Plain, step["request"]), because)
    except DeskRefused as refused:
        return {"outcome": "refused", "why": f"{refused} {refused.remedy}".strip()}
    run.tell(
        ProposalMade(
            id=str(made["proposal"]),
            operation=str(step["operation"]),
            request=cast(Plain, step["request"]),
            summary=str(made["summary"]),
            gate_class=str(made["gate_class"]),
            rule=str(made["rule"]),
            approvers=str(made["approvers"]),
            expires_unix_ms=cast(int, made["expires_unix_ms"]),
            rollback=str(step["rollback"]),
            tainted=run.book.tainted,
        )
    )
    return {"proposal": str(made["proposal"]), "ended": ""}


def _doubted(state: Remediating) -> str:
    """First of all, for whoever decides."""
    gaps = cast(Sequence[object], state["conclusion"].get("gaps", ()))
    return "another model doubts this conclusion; " if any(str(each).startswith(DOUBTED) for each in gaps) else ""


async def wait(state: Remediating) -> Plain:
    """The segment ends in front of this. What became of the proposal is told by who goes on with it."""
    told = interrupt({"proposal": state["proposal"]})
    return {"ended": str(told["ended"])}


async def verify(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """Whether it helped, by the same rules that found the slice unwell."""
    run, ended = runtime.context, state["ended"]
    if ended != "applied":
        return {"outcome": "rolled_back" if ended == "rolled_back" else "not_made"}
    diagnosis = diagnose(
        await Gathering(EvidenceBook(run.desk, run.book.clock)).gather(state["slice"], run.book.clock.unix_ms())
    )
    if diagnosis.well:
        return {"outcome": "mended"}
    last = state["at"] + 1 >= len(state["steps"])
    return {"outcome": "not_mended"} if last else {"at": state["at"] + 1, "proposal": "", "ended": ""}


async def close(state: Remediating, runtime: Runtime[Run]) -> Plain:
    """Says what came of it. What did not help is proposed to be taken back, and people decide that too."""
    run, outcome = runtime.context, state["outcome"]
    run.tell(Text(text=f"{_SAID[outcome].format(slice=state['slice'])}{_because(state)}"))
    if outcome != "not_mended":
        return {}
    step = state["steps"][state["at"]]
    if step.get("inverse") is None:
        return {}
    inverse = cast(Plain, step["inverse"])
    because = Because(
        reason=f"{step['summary']} did not help {state['slice']}"[:1_000],
        evidence=(f"proposal:{state['proposal']}",),
        tainted=run.book.tainted,
        key=f"{run.of.id}/{state['at']}/back",
        undoes=state["proposal"],
    )
    try:
        made = await run.desk.propose(str(inverse["operation"]), cast(Plain, inverse["request"]), because)
    except DeskRefused as refused:
        run.tell(Text(text=f"It was not proposed to be taken back: {refused}."))
        return {}
    run.tell(Text(text=f"Proposed to be taken back: {made['summary']} (proposal {made['proposal']})."))
    return {}


_SAID: Final = {
    "nothing": "Nothing that I may propose would mend {slice}.",
    "handed_over": "I have no remedy to propose for {slice}: this needs a person.",
    "refused": "The change for {slice} cannot be made as things are.",
    "mended": "{slice} is well again.",
    "not_mended": "The change was made, and {slice} is still unwell.",
    "rolled_back": "The change for {slice} was undone: its guard saw calls fail.",
    "not_made": "The change for {slice} was not made.",
}


def _because(state: Remediating) -> str:
    shown = state["outcome"] in ("nothing", "handed_over", "refused") and state.get("why")
    if state["outcome"] == "not_made":
        return f" Its proposal is {state['ended']}."
    return f" {state['why']}" if shown else ""


def goes_on(state: Remediating) -> Literal["on", "close"]:
    return "close" if state.get("outcome") else "on"


def after_gate(state: Remediating) -> Literal["verify", "wait"]:
    """Still pending: somebody went on too early."""
    return "wait" if state["ended"] in ("", "pending", "approved") else "verify"


def after_verify(state: Remediating) -> Literal["close", "dry_run"]:
    return "close" if state.get("outcome") else "dry_run"


def graph(saver: BaseCheckpointSaver[Any] | None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """saver: None ends the graph at the gate, and nobody goes on with it."""
    building = StateGraph(Remediating, context_schema=Run)
    for node in (match, dry_run, way_back, propose, wait, verify, close):
        building.add_node(node.__name__, node)
    building.add_edge(START, "match")
    building.add_conditional_edges("match", goes_on, {"on": "dry_run", "close": "close"})
    building.add_conditional_edges("dry_run", goes_on, {"on": "way_back", "close": "close"})
    building.add_edge("way_back", "propose")
    building.add_conditional_edges("propose", goes_on, {"on": "wait" if saver is not None else END, "close": "close"})
    building.add_conditional_edges("wait", after_gate, ["wait", "verify"])
    building.add_conditional_edges("verify", after_verify, ["close", "dry_run"])
    building.add_edge("close", END)
    return building.compile(checkpointer=saver if saver is not None else False)
