"""An investigation: rules first, then suppositions that are probed, and a conclusion that can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from evals.scenarios.document import read_scenarios
from evals.scenarios.told import meanings
from llm_layer.chat.events import Concluded, Diagnosed, Done, Event, Postponed, Text
from llm_layer.desk import Plain
from llm_layer.diagnosis.decide import Diagnosis
from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.patterns import PATTERNS
from llm_layer.graphs import investigate
from llm_layer.graphs.chat import GOES_ON
from llm_layer.graphs.conclusion import of_rules
from llm_layer.graphs.investigate import CALLS_MAX, PROBE_CALLS_MAX, STALE_MAX, score
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.messages import Ask, Reply, ToolResult
from runtime.operations.queries.slices import SliceRow
from tests.unit.scripted_model import UNSURE, Scripted, World, calls, of, says, stopped, turned
from tests.unit.test_diagnosis import TOPOLOGY, explained, metric, status, version

EXPLAIN = of("question", "slice.explain", slice="orders")
ROWS = msgspec.convert([version(slice=name) for name in ("orders", "payment", "ledger")], tuple[SliceRow, ...])
SUPPOSED = {"root": "slice:ledger", "mechanism": "dependency_slow", "expects": "ledger is slow"}
OTHER = {"root": "node:n2", "mechanism": "node_busy", "expects": "n2 lags"}


def world(**answers: Any) -> World:
    """Orders are slow, as the ledger is that payment stands on."""
    parts = {
        "slice.explain": explained(),
        "cluster.status": msgspec.structs.replace(status(), slices=ROWS),
        "topology.show": TOPOLOGY,
        "metric.show": metric(p95=900.0),
        **answers,
    }
    plain: dict[str, Plain] = {name: msgspec.to_builtins(each) for name, each in parts.items()}
    others = {"phrase.list": {"items": []}, "proposal.list": {"proposals": []}, "log.list": {"logs": [], "silent": []}}
    others |= {"run.list": {"items": []}, "alert.list": {"items": []}}
    return World({**others, "playbook.list": {"items": []}, **plain})


def concluded(events: list[Event]) -> Concluded:
    return next(each for each in events if isinstance(each, Concluded))


def conclusion(**members: Any) -> Reply:
    text = "p95 of `orders` is 900 ms, usually 40."
    usual = {"roots": ["slice:ledger"], "mechanism": "dependency_slow", "confidence": 0.8, "gaps": ["no traces"]}
    return says(**{**usual, "claims": [{"text": text, "evidence": ["E9"]}], **members})


def by_question(*, supposed: list[Plain], probed: Reply, concluding: list[Reply]) -> Scripted:
    """Probes ask at once, in no order: what is replied goes by what is asked."""

    def reply(ask: Ask) -> Reply:
        task = ask.system[1].text
        if "hypotheses that" in task:
            return says(hypotheses=supposed)
        if "this one hypothesis" in task:
            looked = any(part for each in ask.messages[1:] for part in each.parts)
            return probed if looked else calls(("metric_show", {"slice": "ledger"}))
        return concluding.pop(0)

    return Scripted([reply] * 30)


UNCLEAR = says(verdict="unclear", claims=[])
SUPPORTS = says(verdict="supports", claims=[{"text": "p95 of `orders` is 900 ms.", "evidence": ["E9"]}])


def test_rules_look_first_and_a_checked_conclusion_comes_last() -> None:
    script = by_question(supposed=[SUPPOSED, OTHER], probed=SUPPORTS, concluding=[conclusion()])
    events = turned("why are orders slow?", world(), script, EXPLAIN)
    kinds = [type(each) for each in events]
    assert kinds.index(Diagnosed) < kinds.index(Concluded)
    found = concluded(events)
    assert (found.roots, found.mechanism, found.by, found.gaps) == (
        ("slice:ledger",),
        "dependency_slow",
        "model",
        ("no traces",),
    )
    assert isinstance(events[-1], Done)
    assert events[-1].answered_by == "model"


def test_what_probes_found_reaches_the_conclusion_with_a_score() -> None:
    script = by_question(supposed=[SUPPOSED, OTHER], probed=SUPPORTS, concluding=[conclusion()])
    turned("why are orders slow?", world(), script, EXPLAIN)
    told = script.asked[-1].messages[0].parts[0].text  # type: ignore[union-attr]  # facts, as the graph gives them
    facts = msgspec.json.decode(told)
    assert facts["score"]["slice:ledger"] == {"supports": 1, "contradicts": 0, "unclear": 0}
    assert len(facts["probed"]) == 2


ALL_NEW = [True] * 2 * CALLS_MAX


def looked(news: Sequence[bool], *, hypotheses: int, at_once: int = 1) -> int:
    """How often probes that never stop asking are let look. news: whether each probe's looks, one after the other,
    bring anything that rules have not asked for."""
    left = {f"s{at}": list(enumerate(news)) for at in range(hypotheses)}

    def look(name: str) -> tuple[str, Plain]:
        at, is_new = left[name].pop(0)
        return ("log_list", {"text": f"{name} {at}"}) if is_new else ("metric_show", {"slice": "orders"})

    def greedy(ask: Ask) -> Reply:
        task = ask.system[1].text
        if "hypotheses that" in task:
            return says(hypotheses=[{**SUPPOSED, "root": f"slice:{name}"} for name in left])
        if "this one hypothesis" not in task:
            return conclusion()
        name = next(each for each in left if f"slice:{each}" in str(ask.messages[0]))
        return UNCLEAR if ask.calling == "never" else calls(*(look(name) for _ in range(at_once)))

    script = Scripted([greedy] * 60)
    turned("why are orders slow?", world(), script, EXPLAIN)
    last = [each for each in script.asked if each.calling == "never" and "this one hypothesis" in each.system[1].text]
    told = [part.content for each in last for m in each.messages for part in m.parts if isinstance(part, ToolResult)]
    return sum("no_more_calls" not in each for each in told)


def test_probes_look_three_times_each_and_twelve_times_together() -> None:
    """Also where all is new, and one asks for more at once than it has left."""
    assert looked(ALL_NEW, hypotheses=1, at_once=2) == PROBE_CALLS_MAX
    assert looked(ALL_NEW, hypotheses=4) == CALLS_MAX


def test_probes_together_look_no_more_than_an_investigation_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each of them may: twelve, or three in a row without anything new."""
    monkeypatch.setattr(investigate, "PROBE_CALLS_MAX", CALLS_MAX)
    assert looked(ALL_NEW, hypotheses=4) == CALLS_MAX
    assert looked([True, False, False, True, False, False, False, True], hypotheses=1) == 4 + STALE_MAX


def test_three_looks_in_a_row_that_bring_nothing_new_end_the_looking_of_all_probes() -> None:
    """What rules had asked already is nothing new, whoever of the probes asks it again."""
    assert looked([False] * 9, hypotheses=4) == STALE_MAX


def test_a_root_is_a_name_of_its_own_kind() -> None:
    """A slice that is called a node sends people to a machine that there is not."""
    script = by_question(supposed=[SUPPOSED], probed=UNCLEAR, concluding=[conclusion(roots=["node:ledger"])] * 2)
    found = concluded(turned("why are orders slow?", world(), script, EXPLAIN))
    assert (found.by, found.roots) == ("rules", ("slice:ledger",))


def test_a_conclusion_that_cannot_be_verified_twice_is_that_of_rules() -> None:
    wrong = [conclusion(claims=[{"text": "p95 is 123 ms.", "evidence": ["E9"]}]), conclusion(roots=["slice:cart"])]
    script = by_question(supposed=[SUPPOSED], probed=UNCLEAR, concluding=list(wrong))
    events = turned("why are orders slow?", world(), script, EXPLAIN)
    found = concluded(events)
    assert found.by == "rules"
    assert found.roots == ("slice:ledger",)
    assert "could not be verified" in " ".join(found.gaps)
    assert "123" not in " ".join(each.text for each in events if isinstance(each, Text))


def test_a_model_that_goes_away_leaves_what_rules_found() -> None:
    events = turned("why are orders slow?", world(), Scripted([]), EXPLAIN)
    assert concluded(events).by == "rules"
    assert [each for each in events if isinstance(each, Diagnosed)]
    script = by_question(supposed=[SUPPOSED], probed=UNCLEAR, concluding=[stopped("refused")])
    assert concluded(turned("why are orders slow?", world(), script, EXPLAIN)).by == "rules"


BUSY = ProviderFault("limited", "HTTP 429")


@pytest.mark.parametrize(
    ("script", "kept", "waits"),
    [
        (Scripted([BUSY] * 9), True, True),
        (by_question(supposed=[SUPPOSED], probed=SUPPORTS, concluding=[conclusion()]), True, False),
        (by_question(supposed=[SUPPOSED], probed=UNCLEAR, concluding=[stopped("refused")]), True, False),
        (Scripted([BUSY] * 9), False, False),
    ],
    ids=["no model answered", "one concluded", "one declined", "nobody keeps the conversation"],
)
def test_what_no_model_answered_is_postponed(script: Scripted, *, kept: bool, waits: bool) -> None:
    """A model that was there and is of no use is no reason to ask again."""
    keeper = {"keeper": InMemorySaver} if kept else {}
    events = turned("why are orders slow?", world(), script, EXPLAIN, **keeper)
    assert [each.slice for each in events if isinstance(each, Postponed)] == ["orders"] * waits
    assert any(isinstance(each, Text) and each.text == GOES_ON for each in events) is waits


def test_who_goes_on_investigates_whatever_the_sentence_may_mean() -> None:
    script = by_question(supposed=[SUPPOSED], probed=SUPPORTS, concluding=[conclusion()])
    events = turned("/node list", world(), script, UNSURE, explains="orders")
    assert (concluded(events).by, concluded(events).roots) == ("model", ("slice:ledger",))


def test_a_probe_whose_claims_are_false_is_a_gap() -> None:
    lies = says(verdict="supports", claims=[{"text": "`ledger` answers in 77 ms.", "evidence": ["E9"]}])
    script = by_question(supposed=[SUPPOSED], probed=lies, concluding=[conclusion()])
    found = concluded(turned("why are orders slow?", world(), script, EXPLAIN))
    assert "its claims could not be verified" in found.gaps


def test_a_slice_that_there_is_not_is_refused() -> None:
    missing = world()
    del missing.answers["slice.explain"]
    events = turned("why are orders slow?", missing, Scripted([]), EXPLAIN)
    assert [each.code for each in events if hasattr(each, "code")] == ["not_found"]


def test_where_nothing_is_wrong_rules_conclude_that() -> None:
    events = turned("why are orders slow?", world(**{"metric.show": metric()}), Scripted([]), EXPLAIN)
    diagnosis = next(each for each in events if isinstance(each, Diagnosed)).diagnosis
    assert of_rules(diagnosis).mechanism == "none"
    assert concluded(events).roots == ()


IN_SCENARIOS = sorted({each for scenario in read_scenarios() for each in scenario.document.expect.mechanisms})


@pytest.mark.parametrize("mechanism", [*IN_SCENARIOS, *(f"pattern:{each}" for each in PATTERNS)])
def test_models_have_a_word_for_all_that_rules_find(mechanism: str) -> None:
    """Or whoever follows the evidence could only conclude that nothing is known."""
    found = Finding(mechanism=mechanism, root="slice:orders", says="it is", weight=0.9, evidence=())
    diagnosis = Diagnosis(slice="orders", well=False, symptoms="", findings=(found,), gaps=(), tainted=False)
    word = of_rules(diagnosis).mechanism
    assert word != "unknown"
    assert mechanism in meanings(word)


def test_a_score_counts_by_root() -> None:
    rows: list[Plain] = [{"hypothesis": SUPPOSED, "verdict": "supports"}, {"hypothesis": OTHER, "verdict": "unclear"},
                         {"hypothesis": SUPPOSED, "verdict": "contradicts"}]  # fmt: skip
    assert score(rows)["slice:ledger"] == {"supports": 1, "contradicts": 1, "unclear": 0}
