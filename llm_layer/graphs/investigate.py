"""Why a slice is unwell: rules look first, a model supposes, probes look for and against, and one conclusion is
checked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict

import msgspec
from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from llm_layer.claims.answer import Answer
from llm_layer.claims.verify import problems_of
from llm_layer.desk import Plain
from llm_layer.diagnosis.decide import Diagnosis, diagnose
from llm_layer.diagnosis.gathering import Gathering
from llm_layer.errors import LlmFault
from llm_layer.graphs.answer_check import checked, gaps_of
from llm_layer.graphs.conclusion import (
    GAP_CHARS_MAX,
    GAPS_MAX,
    HYPOTHESES_MAX,
    Conclusion,
    Hypotheses,
    Hypothesis,
    Probed,
    of_rules,
)
from llm_layer.graphs.looking import HandedOver, Looking
from llm_layer.graphs.prompts import CONCLUDE, HYPOTHESES, PROBE, given, system
from llm_layer.graphs.run import Effort, Run
from llm_layer.graphs.writing import Writing
from llm_layer.providers.errors import ModelsAbsent, ModelsExhausted
from llm_layer.tools.quoting import quoted
from llm_layer.tools.visible import LOOKING, tool_name

CALLS_MAX: Final = 12
STALE_MAX: Final = 3
PROBE_CALLS_MAX: Final = CALLS_MAX // HYPOTHESES_MAX
STRIKES: Final = 2
DOUBTED_CONFIDENCE_MAX: Final = 0.5
LOOKED_AT: Final = frozenset({"slice.explain", "cluster.status", "topology.show", "log.list", "metric.show"})
"""What rules go by; a conclusion may cite it like what was looked up for it."""
WITHHELD: Final = "what the model concluded could not be verified, twice; this is what rules found"

NO_MODEL: Final = (ModelsAbsent, ModelsExhausted, HandedOver)


class Investigating(TypedDict, total=False):
    """`probed` are (hypothesis, what came of it). `by`: who concluded, "rules" or "model". `unanswered`: no model was
    there to conclude."""

    slice: str
    question: str
    diagnosis: Annotated[Diagnosis, UntrackedValue]
    hypotheses: Annotated[tuple[Hypothesis, ...], UntrackedValue]
    hypothesis: Annotated[Hypothesis, UntrackedValue]
    effort: Annotated[Effort, UntrackedValue]
    probed: Annotated[list[Plain], operator.add]
    conclusion: Annotated[Conclusion, UntrackedValue]
    by: str
    unanswered: bool


class Investigated(NamedTuple):
    """`by`: whose conclusion it is, "rules" or "model"; `diagnosis` is that of rules in either case. unanswered: it is
    theirs as no model answered, which may be otherwise in a while."""

    conclusion: Conclusion
    by: str
    diagnosis: Diagnosis
    unanswered: bool


async def investigate(run: Run, name: str, question: str) -> Investigated:
    """Raises DeskRefused where there is no such slice."""
    state = await graph().ainvoke({"slice": name, "question": question, "probed": []}, context=run)
    return Investigated(state["conclusion"], state["by"], state["diagnosis"], state.get("unanswered", False))


async def seed(state: Investigating, runtime: Runtime[Run]) -> Plain:
    """What rules find in alerts, recent changes, topology and figures: told at once, as it needs no model."""
    run = runtime.context
    diagnosis = diagnose(await Gathering(run.book).gather(state["slice"], run.book.clock.unix_ms()))
    _, explained = await run.book.ask("slice.explain", {"slice": state["slice"]})
    run.incident = bool(explained.get("incident") or explained.get("alerts"))
    for evidence in run.book.all:
        if evidence.operation in LOOKED_AT:
            await run.call(tool_name(evidence.operation), evidence.request)
    for finding in diagnosis.findings:
        for cited in finding.evidence:
            run.toolbox.noted.show(cited, msgspec.json.encode({"found": quoted(finding.says)}).decode())
    run.book.tainted = run.book.tainted or diagnosis.tainted
    run.tell_diagnosis(diagnosis)
    return {"diagnosis": diagnosis}


async def suppose(state: Investigating, runtime: Runtime[Run]) -> Plain:
    run, diagnosis = runtime.context, state["diagnosis"]
    looking = Looking(
        run,
        system=system(HYPOTHESES),
        asked=[given(slice=state["slice"], question=state["question"], rules=quoted(msgspec.to_builtins(diagnosis)))],
        operations=(),
        answer=Hypotheses,
        effort=Effort(calls_max=0, stale_max=1),
    )
    try:
        return {"hypotheses": (await looking.answer()).hypotheses}
    except NO_MODEL as fault:
        return {"hypotheses": (), **_by_rules(diagnosis, fault)}


def each_hypothesis(state: Investigating) -> Sequence[Send] | str:
    """All at once; the same few calls for each, as long as what they find together is new."""
    if "conclusion" in state:
        return END
    effort = Effort(calls_max=CALLS_MAX, stale_max=STALE_MAX)
    shared = {"slice": state["slice"], "question": state["question"], "effort": effort}
    sends = [Send("probe", {**shared, "hypothesis": each}) for each in state["hypotheses"]]
    return sends or "conclude"


async def probe(state: Investigating, runtime: Runtime[Run]) -> Plain:
    """A probe that comes to nothing is a gap, and no fault of the others."""
    run, hypothesis = runtime.context, state["hypothesis"]
    looking = Looking(
        run,
        system=system(PROBE),
        asked=[given(slice=state["slice"], question=state["question"], hypothesis=msgspec.to_builtins(hypothesis))],
        operations=LOOKING,
        answer=Probed,
        effort=Effort(calls_max=PROBE_CALLS_MAX, stale_max=STALE_MAX, of=state["effort"]),
    )
    told = msgspec.to_builtins(hypothesis)
    try:
        probed = await looking.answer()
    except NO_MODEL as fault:
        return {"probed": [{"hypothesis": told, "verdict": "unclear", "gap": str(fault)}]}
    answer = Answer(claims=probed.claims, plots=(), cards=()) if probed.claims else None
    problems = problems_of(answer, run.ground(state["question"])) if answer is not None else ()
    if problems:
        return {"probed": [{"hypothesis": told, "verdict": "unclear", "gap": "its claims could not be verified"}]}
    return {"probed": [{"hypothesis": told, **msgspec.to_builtins(probed)}]}


async def conclude(state: Investigating, runtime: Runtime[Run]) -> Plain:
    """Two strikes, then what rules found."""
    run, diagnosis = runtime.context, state["diagnosis"]
    facts = given(
        slice=state["slice"],
        question=state["question"],
        rules=quoted(msgspec.to_builtins(diagnosis)),
        score=score(state["probed"]),
        probed=quoted(state["probed"]),
    )
    looking = Looking(
        run,
        system=system(CONCLUDE),
        asked=[facts],
        operations=(),
        answer=Conclusion,
        effort=Effort(calls_max=0, stale_max=1),
        writing=Writing(run.tell, lambda: run.ground(state["question"])),
    )
    try:
        for _ in range(STRIKES):
            found = await looking.answer()
            problems = [*problems_of(_claims(found), run.ground(state["question"])), *_unknown_roots(found, run)]
            if not problems:
                return {"conclusion": _with_gaps(found, _of_probes(state["probed"])), "by": "model"}
            looking.object_to(problems)
    except NO_MODEL as fault:
        looking.take_back()
        return _by_rules(diagnosis, fault)
    looking.take_back()
    return {"conclusion": of_rules(diagnosis, WITHHELD), "by": "rules"}


async def check(state: Investigating, runtime: Runtime[Run]) -> Plain:
    """What another model doubts is told with the conclusion, which is no surer than a guess then."""
    conclusion = state["conclusion"]
    gaps = gaps_of(await checked(runtime.context, conclusion.claims, state["question"]))
    if not gaps:
        return {}
    sure = min(conclusion.confidence, DOUBTED_CONFIDENCE_MAX)
    return {"conclusion": _with_gaps(msgspec.structs.replace(conclusion, confidence=sure), gaps)}


def whose(state: Investigating) -> Literal["check", "__end__"]:
    return "check" if state["by"] == "model" else "__end__"


def score(probed: Sequence[Plain]) -> dict[str, dict[str, int]]:
    """For and against each root, by how many probes."""
    found: dict[str, dict[str, int]] = {}
    for each in probed:
        hypothesis = each["hypothesis"]
        assert isinstance(hypothesis, dict)
        row = found.setdefault(str(hypothesis["root"]), {"supports": 0, "contradicts": 0, "unclear": 0})
        row[str(each["verdict"])] += 1
    return found


def _claims(conclusion: Conclusion) -> Answer:
    return Answer(claims=conclusion.claims, plots=(), cards=())


def _unknown_roots(conclusion: Conclusion, run: Run) -> list[str]:
    """A name of another kind is none: `node:orders` would send people to a machine that there is not."""
    subjects = [each.partition(":") for each in conclusion.roots]
    return [f"there is no {kind} {name!r}" for kind, _, name in subjects if name not in run.toolbox.named(kind)]


def _of_probes(probed: Sequence[Plain]) -> list[str]:
    return [str(each["gap"])[:GAP_CHARS_MAX] for each in probed if "gap" in each]


def _with_gaps(conclusion: Conclusion, gaps: Sequence[str]) -> Conclusion:
    """The new ones first: they are this cluster's, and not the model's."""
    return msgspec.structs.replace(conclusion, gaps=tuple(dict.fromkeys((*gaps, *conclusion.gaps)))[:GAPS_MAX])


def _by_rules(diagnosis: Diagnosis, fault: LlmFault) -> Plain:
    unanswered = isinstance(fault, ModelsExhausted)
    return {"conclusion": of_rules(diagnosis, f"no model concluded: {fault}"), "by": "rules", "unanswered": unanswered}


def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Keeps nothing: an investigation that was cut off begins anew."""
    building = StateGraph(Investigating, context_schema=Run)
    building.add_node("seed", seed)
    building.add_node("suppose", suppose)
    building.add_node("probe", probe)
    building.add_node("conclude", conclude)
    building.add_node("check", check)
    building.add_edge(START, "seed")
    building.add_edge("seed", "suppose")
    building.add_conditional_edges("suppose", each_hypothesis, ["probe", "conclude", END])
    building.add_edge("probe", "conclude")
    building.add_conditional_edges("conclude", whose, ["check", END])
    building.add_edge("check", END)
    return building.compile(checkpointer=False)
