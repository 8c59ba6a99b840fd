"""A remedy: matched, planned, with a way back, proposed once; it goes on when people have decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from agent_api.catalogue import make_catalogue
from controllers.conversations.remedies import RunOf
from llm_layer.chat.events import Event, ProposalMade, Text
from llm_layer.chat.rules import Rules
from llm_layer.chat.talk import Given, Talk
from llm_layer.desk import Because, DeskRefused, Plain
from llm_layer.evidence import EvidenceBook
from llm_layer.graphs.answer_check import DOUBTED
from llm_layer.graphs.conclusion import Conclusion
from llm_layer.graphs.remediate import remediate, resume
from llm_layer.graphs.run import Run
from llm_layer.graphs.turning import opened
from llm_layer.providers.messages import Ask, Reply
from llm_layer.redaction import RedactingDesk
from tests.unit.gate_parts import HandClock
from tests.unit.scripted_model import UNSURE, HandRouter, Scripted, World, calls, models_of, says, stopped
from tests.unit.test_diagnosis import metric
from tests.unit.test_graph_investigate import world

FOUND = Conclusion(roots=("slice:orders",), mechanism="saturation", confidence=0.8, claims=(), gaps=())
SCALE = calls(("slice_scale", {"slice": "orders", "instances": 5}))


class Proposing(World):
    """Keeps what is proposed by its key, as the gate does."""

    def __init__(self, answers: dict[str, Plain], refuses: str = "") -> None:
        super().__init__(answers)
        self.made: dict[str, tuple[str, Plain, Because]] = {}
        self._refuses = refuses

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        if self._refuses:
            raise DeskRefused("refused_by_policy", self._refuses)
        self.made.setdefault(because.key, (operation, dict(request), because))
        told = {"gate_class": "G1", "rule": "low risk for an agent", "approvers": "1 operator", "expires_unix_ms": 5}
        return {"proposal": f"p{list(self.made).index(because.key) + 1}", "summary": "orders: 3 -> 5", **told}


def proposing(refuses: str = "", **answers: Any) -> Proposing:
    return Proposing(world(**answers).answers, refuses)


def chosen(ask: Ask) -> Reply:
    """The cards that tools made."""
    cards = [part.content for each in ask.messages for part in each.parts if hasattr(part, "content")]
    ids = [msgspec.json.decode(each)["card"] for each in cards if '"card"' in each]
    return says(cards=ids, why="more instances carry the load")


async def run_of(desk: Proposing, script: Scripted, told: list[Event], *, tainted: bool = False) -> Run:
    talk = Talk(run=RunOf("t1", 1), models=models_of(script), tainted=tainted)
    redacting = RedactingDesk(desk)
    rules = Rules(fit=lambda _taught: HandRouter(UNSURE), catalogue=make_catalogue())  # type: ignore[arg-type, return-value]  # routes alike
    given = Given(
        desk=redacting,
        book=EvidenceBook(redacting, HandClock()),
        talk=talk,
        rules=rules,
        catalogue=make_catalogue(),
    )
    run = await opened(given)
    run.tell = told.append
    return run


def segment(
    desk: Proposing,
    script: Scripted,
    saver: InMemorySaver | None = None,
    found: Conclusion = FOUND,
    **members: bool,
) -> tuple[Plain, list[Event]]:
    told: list[Event] = []

    async def go() -> Plain:
        run = await run_of(desk, script, told, **members)
        return await remediate(run, found, "orders", "make orders quick", saver)

    return anyio.run(go), told


def gone_on(
    desk: Proposing, saver: InMemorySaver, ended: str, proposal: str = "p1"
) -> tuple[Plain | None, list[Event]]:
    """On another node: all but what the saver kept is new."""
    told: list[Event] = []

    async def go() -> Plain | None:
        return await resume(await run_of(desk, Scripted([]), told), proposal, ended, saver)

    return anyio.run(go), told


def words(told: list[Event]) -> str:
    return " ".join(each.text for each in told if isinstance(each, Text))


def test_a_remedy_is_planned_and_proposed_and_nothing_more() -> None:
    desk = proposing()
    state, told = segment(desk, Scripted([SCALE, chosen]), InMemorySaver())
    operation, request, because = desk.made["t1/1/0"]
    assert (operation, request) == ("slice.scale", {"slice": "orders", "instances": 5})
    assert because.guard is not None
    assert because.evidence[0] == "run:t1/1"
    assert [each[0] for each in desk.planned] == ["slice.scale", "slice.scale"]
    card = next(each for each in told if isinstance(each, ProposalMade))
    assert (card.id, card.gate_class, card.tainted) == ("p1", "G1", False)
    assert '"instances":3' in card.rollback
    assert "__interrupt__" in state


@pytest.mark.parametrize("doubted", [True, False])
def test_who_decides_is_told_first_that_the_conclusion_is_doubted(*, doubted: bool) -> None:
    gaps = (f"{DOUBTED} that what it cites says otherwise: `orders` is full.",) if doubted else ("no traces",)
    desk = proposing()
    segment(desk, Scripted([SCALE, chosen]), found=msgspec.structs.replace(FOUND, gaps=gaps))
    reason = desk.made["t1/1/0"][2].reason
    assert reason.startswith("another model doubts this conclusion; saturation: ") is doubted


def test_what_was_read_before_marks_the_proposal() -> None:
    desk = proposing()
    _, told = segment(desk, Scripted([SCALE, chosen]), tainted=True)
    assert desk.made["t1/1/0"][2].tainted
    assert next(each for each in told if isinstance(each, ProposalMade)).tainted


def test_a_segment_that_begins_anew_proposes_nothing_twice() -> None:
    """As after a change of the leader amid a run."""
    desk = proposing()
    for _ in range(2):
        segment(desk, Scripted([SCALE, chosen]), InMemorySaver())
    assert list(desk.made) == ["t1/1/0"]


def test_once_applied_it_is_looked_whether_it_helped() -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    desk.answers["metric.show"] = msgspec.to_builtins(metric())
    state, told = gone_on(desk, saver, "applied")
    assert state is not None
    assert (state["outcome"], "orders is well again" in words(told)) == ("mended", True)


def test_what_did_not_help_is_proposed_to_be_taken_back() -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    state, told = gone_on(desk, saver, "applied")
    assert state is not None
    assert state["outcome"] == "not_mended"
    operation, request, because = desk.made["t1/1/0/back"]
    assert (operation, request["instances"], because.undoes) == ("slice.scale", 3, "p1")
    assert "taken back" in words(told)


def test_a_second_change_follows_only_when_the_first_did_not_help() -> None:
    saver, desk = InMemorySaver(), proposing()
    second = calls(("slice_restart", {"slice": "orders"}))
    segment(desk, Scripted([SCALE, second, chosen]), saver)
    assert list(desk.made) == ["t1/1/0"]
    gone_on(desk, saver, "applied")
    assert desk.made["t1/1/1"][0] == "slice.restart"


@pytest.mark.parametrize("ended", ["rejected", "expired", "stale", "withdrawn", "refused"])
def test_what_people_do_not_want_ends_there(ended: str) -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    state, told = gone_on(desk, saver, ended)
    assert state is not None
    assert (state["outcome"], list(desk.made)) == ("not_made", ["t1/1/0"])
    assert ended in words(told)


def test_what_its_guard_undid_is_said() -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    state, told = gone_on(desk, saver, "rolled_back")
    assert state is not None
    assert (state["outcome"], "undone" in words(told)) == ("rolled_back", True)


def test_a_proposal_that_still_waits_is_waited_for_again() -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    gone_on(desk, saver, "approved")
    state, _ = gone_on(desk, saver, "rejected")
    assert state is not None
    assert state["outcome"] == "not_made"


def test_another_s_proposal_moves_nothing() -> None:
    saver, desk = InMemorySaver(), proposing()
    segment(desk, Scripted([SCALE, chosen]), saver)
    assert gone_on(desk, saver, "applied", proposal="p9") == (None, [])
    assert gone_on(proposing(), InMemorySaver(), "applied") == (None, [])


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([says(cards=[], why="a person has to add memory")], "nothing"),
        ([says(cards=["c9"], why="x"), says(cards=["c9"], why="x")], "handed_over"),
        ([stopped("refused")], "handed_over"),
        ([], "handed_over"),
    ],
)
def test_where_there_is_no_remedy_nothing_is_proposed(lines: list[Any], outcome: str) -> None:
    desk = proposing()
    state, told = segment(desk, Scripted(lines), InMemorySaver())
    assert (state["outcome"], desk.made, bool(words(told))) == (outcome, {}, True)


def test_what_the_gate_refuses_is_said() -> None:
    desk = proposing("never for agents")
    state, told = segment(desk, Scripted([SCALE, chosen]), InMemorySaver())
    assert (state["outcome"], "never for agents" in words(told)) == ("refused", True)


def test_a_playbook_that_cannot_be_started_is_not_proposed() -> None:
    rows = {"items": [{"playbook": "latency-high"}]}
    start = calls(("playbook_run", {"playbook": "latency-high", "params": {"slice": "orders"}}))
    held = proposing(**{"playbook.list": rows, "playbook.plan": {"startable": False}})
    state, _ = segment(held, Scripted([start, chosen]), InMemorySaver())
    assert (state["outcome"], held.made) == ("refused", {})
    free = proposing(**{"playbook.list": rows, "playbook.plan": {"startable": True}})
    _, told = segment(free, Scripted([start, chosen]), InMemorySaver())
    assert next(each for each in told if isinstance(each, ProposalMade)).rollback == "the playbook undoes its own steps"
    assert free.made["t1/1/0"][2].guard is None
