"""A turn: what is looked up, what is told, and that nothing is ever carried out."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest

from agent_api.catalogue import make_catalogue
from llm_layer.chat.events import Card, Choices, Diagnosed, Done, Event, Failed, Looked, Plot, Table, Text
from llm_layer.chat.turn import Turns
from llm_layer.desk import DeskRefused, Plain
from llm_layer.router.inventory import Inventory
from llm_layer.router.routing import Choice, Routing
from tests.unit.gate_parts import HandClock

ADDRESSES = {"http": "", "peer": "", "control": "", "api": ""}
ROW: Plain = {
    "slice": "orders", "version": "1.0.0", "blueprint": "b", "wanted": 3, "min": 1, "max": 6, "serving": 2, "failed": 1,
    "reasons": ["no node has room"], "weight": 1,
}  # fmt: skip
STATUS: Plain = {
    "revision": 7,
    "stale": False,
    "node": "n1",
    "leader": "n1",
    "nodes": [{"node": "n1", "role": "core", "zone": "z", "addresses": ADDRESSES, "state": "down", "instances": 1}],
    "slices": [ROW],
    "blueprints": ["shop"],
    "load": {"requests_per_s": 12.0, "nodes": [], "slices": []},
}  # fmt: skip
ANSWERS: dict[str, Plain] = {
    "cluster.status": STATUS,
    "phrase.list": {"items": []},
    "proposal.list": {"proposals": [{"id": "p1"}]},
    "playbook.list": {"items": [{"playbook": "disk-full", "version": "1"}, {"playbook": "disk-full", "version": "2"}]},
    "run.list": {"items": [{"id": "r1"}]},
    "alert.list": {"items": []},
    "node.list": {"revision": 8, "nodes": [{"node": f"n{at}", "state": "up"} for at in range(30)]},
    "metric.show": {
        "slice": "orders",
        "silent": [],
        "seconds": {"calls": [None] * 5 + [10.0] * 60, "p95_ms": [20.0] * 60},
        "ten_seconds": {},
    },
    "log.list": {"logs": [{"event": "failed", "error": "password=hunter2hunter2"}], "silent": []},
    "policy.show": {"policy": "version = 1"},
    "topology.show": {"zones": [], "edges": [], "blocked": []},
    "trace.list": {"traces": [], "silent": []},
    "instance.list": {"instances": []},
    "controller.status": {"items": [], "leader": "n1"},
    "alert.routes": {"items": []},
    "model.status": {"wanted": [], "providers": [], "told_by": "", "told_unix_ms": 0},
    "model.budget": {
        "windows": [
            {"window": "minute", "limit": 60_000, "spent": 1_200, "reserved": 0, "resets_in_s": 9},
            {"window": "day", "limit": 20_000_000, "spent": 1_500_000, "reserved": 250_000, "resets_in_s": 99},
        ],
        "cheap": False,
        "for_all": 0.75,
        "under_way": 1,
        "lapsed": 0,
        "recent": [],
        "today": [{"model": "m", "micros": 1_500_000}],
    },
    "slice.explain": {
        "slice": "orders",
        "sentences": [],
        "versions": [ROW],
        "instances": [],
        "requires": [],
        "changes": [],
        "alerts": [],
        "incident": "",
        "freeze": "",
    },
}


class HandDesk:
    """Notes what it is asked; has no way to change anything, as the real one has none."""

    def __init__(self, refuses: str = "") -> None:
        self.asked: list[str] = []
        self.planned: list[tuple[str, dict[str, object]]] = []
        self._refuses = refuses

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        self.asked.append(operation)
        if operation == self._refuses:
            raise DeskRefused("no_quorum", "nobody knows", "Wait.")
        return ANSWERS[operation]

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        self.planned.append((operation, dict(request)))
        if operation == self._refuses:
            raise DeskRefused("bounds_exceeded", "at most 6", "Raise max.")
        return {"summary": "orders: 3 -> 5 instances", "revision": 9}


class HandRouter:
    """Gives what the test says; the inventory it was given is kept."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self.inventory = Inventory()

    def route(self, text: str, inventory: Inventory) -> Routing:
        self.inventory = inventory
        return self._routing


def turned(
    text: str, routing: Routing | None = None, desk: HandDesk | None = None, router: HandRouter | None = None
) -> list[Event]:
    router = router or HandRouter(routing or Routing(kind="nothing", choices=()))
    turns = Turns(fit=lambda _taught: router, catalogue=make_catalogue(), clock=HandClock())  # type: ignore[arg-type, return-value]  # routes alike

    async def run() -> list[Event]:
        return [each async for each in turns.answer(text, desk or HandDesk())]

    return anyio.run(run)


def of(kind: str, operation: str, **params: object) -> Routing:
    return Routing(kind=kind, choices=(Choice(operation=operation, params=params, share=0.9),))  # type: ignore[arg-type]


def test_a_change_is_planned_and_told_as_a_card() -> None:
    """The card holds what the person's own client would send; the turn sends nothing."""
    desk = HandDesk()
    events = turned("scale orders to 5", of("card", "slice.scale", slice="orders", instances=5), desk)
    card = next(each for each in events if isinstance(each, Card))
    assert (card.submit.method, card.submit.path, card.submit.body) == (
        "PUT",
        "/v1/slices/orders/scale",
        {"instances": 5},
    )
    assert (card.command, card.summary) == ("/slice scale slice=orders instances=5", "orders: 3 -> 5 instances")
    assert desk.planned == [("slice.scale", {"slice": "orders", "instances": 5})]
    assert isinstance(events[-1], Done)
    assert events[-1].kind == "card"


def test_a_change_that_would_be_refused_says_so_on_its_card() -> None:
    events = turned("x", of("card", "slice.scale", slice="orders", instances=50), HandDesk(refuses="slice.scale"))
    card = next(each for each in events if isinstance(each, Card))
    assert (card.plan, card.refused) == (None, "at most 6 Raise max.")


def test_a_slash_command_that_changes_something_is_a_card_too() -> None:
    desk = HandDesk()
    events = turned("/slice scale orders 5", None, desk)
    assert [type(each) for each in events] == [Card, Done]
    assert desk.asked == []


def test_status_names_what_is_not_well() -> None:
    words = " ".join(each.text for each in turned("/cluster status") if isinstance(each, Text))
    assert "0 of 1 nodes are up, n1 down" in words
    assert "orders 1.0.0: 2 of 3 serve: no node has room" in words
    assert "The likeliest cause: node n1 is down." in words


def test_what_may_help_is_offered_and_no_card_for_it_is_shown() -> None:
    """Whoever asks why is not asked to approve something."""
    desk = HandDesk()
    events = turned("/slice explain orders", None, desk)
    assert not [each for each in events if isinstance(each, Card)]
    assert desk.planned == []
    diagnosed = next(each for each in events if isinstance(each, Diagnosed))
    assert not diagnosed.diagnosis.well


def test_long_lists_are_cut_and_say_by_how_much() -> None:
    events = turned("/node list")
    table = next(each for each in events if isinstance(each, Table))
    assert (len(table.rows), table.more, table.columns) == (20, 10, ("node", "state"))
    text = next(each for each in events if isinstance(each, Text))
    assert (text.text, text.evidence) == ("30 nodes.", ("E1",))


def test_figures_are_told_and_plotted() -> None:
    events = turned("/metric show orders")
    assert "orders: 10.0 calls a second, p95 20 ms" in next(each.text for each in events if isinstance(each, Text))
    plots = {each.name: each for each in events if isinstance(each, Plot)}
    assert plots["calls"].values[:2] == (None, 10.0)


def test_names_of_playbooks_and_runs_are_known_too() -> None:
    """A playbook of which there are two versions is one name."""
    router = HandRouter(Routing(kind="nothing", choices=()))
    turned("x", desk=HandDesk(), router=router)
    assert (router.inventory.playbooks, router.inventory.runs) == (("disk-full",), ("r1",))


def test_evidence_is_told_before_what_stands_on_it() -> None:
    events = turned("x", of("question", "policy.show"))
    ids = [each.evidence.id for each in events if isinstance(each, Looked)]
    assert ids == [f"E{number}" for number in range(1, 7)]
    text = next(at for at, each in enumerate(events) if isinstance(each, Text))
    assert events[text].evidence == ("E6",)  # type: ignore[attr-defined]
    assert max(at for at, each in enumerate(events) if isinstance(each, Looked)) < text


def test_choices_say_exactly_what_each_one_means() -> None:
    options = (
        Choice(operation="slice.scale", params={"slice": "orders"}, missing=("instances",), share=0.4),
        Choice(operation="slice.show", params={"slice": "orders"}, share=0.3),
    )
    events = turned("x", Routing(kind="choices", choices=options, why="it may mean several things"))
    told = next(each for each in events if isinstance(each, Choices))
    assert [(each.say, each.changes, each.missing) for each in told.options] == [
        ("/slice scale slice=orders", True, ("instances",)),
        ("/slice show slice=orders", False, ()),
    ]


@pytest.mark.parametrize(
    ("text", "desk", "code"),
    [
        ("/slice scael", HandDesk(), "slash_invalid"),
        ("/node list", HandDesk(refuses="node.list"), "no_quorum"),
        ("how are you", HandDesk(refuses="cluster.status"), "no_quorum"),
    ],
)
def test_what_cannot_be_answered_ends_the_turn_in_order(text: str, desk: HandDesk, code: str) -> None:
    events = turned(text, None, desk)
    assert [type(each) for each in events] == [Failed, Done]
    assert events[0].code == code  # type: ignore[attr-defined]


def test_what_is_not_ours_says_that_no_model_is_configured() -> None:
    text = next(each for each in turned("tell me a joke") if isinstance(each, Text))
    assert "No reasoning model is configured" in text.text


def test_what_people_taught_is_fitted_once() -> None:
    """And not with every sentence: it takes a second."""
    fitted: list[tuple[tuple[str, str], ...]] = []
    router = HandRouter(Routing(kind="nothing", choices=()))

    def fit(taught: tuple[tuple[str, str], ...]) -> HandRouter:
        fitted.append(taught)
        return router

    class Taught(HandDesk):
        async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
            if operation == "phrase.list":
                return {"items": [{"id": "1", "sentence": "diet for SLICE", "operation": "slice.scale"}]}
            return await super().ask(operation, request)

    turns = Turns(fit=fit, catalogue=make_catalogue(), clock=HandClock())  # type: ignore[arg-type]  # routes alike

    async def run() -> None:
        for _ in range(3):
            assert [each async for each in turns.answer("diet for orders", Taught())]

    anyio.run(run)
    assert fitted == [(), (("diet for SLICE", "slice.scale"),)]


def test_what_models_cost_is_told_in_dollars_and_a_minute_in_tokens() -> None:
    events = turned("/model budget")
    assert next(each for each in events if isinstance(each, Text)).text == "Language models have cost 1.50 USD today."
    table = next(each for each in events if isinstance(each, Table))
    assert table.rows == (("minute", 60_000, 1_200, 0, "tokens"), ("day", 20.0, 1.5, 0.25, "USD"))


def test_that_no_model_is_configured_is_told() -> None:
    (text,) = [each.text for each in turned("/model status") if isinstance(each, Text)]
    assert text == "No language model is configured: rules answer."


def test_an_empty_list_is_called_by_its_name() -> None:
    (text,) = [each.text for each in turned("/alert routes") if isinstance(each, Text)]
    assert text == "There are no routes of alerts."


def test_no_secret_of_a_log_is_told() -> None:
    """Whoever may read logs knows them all the same; a model, a transcript and an audit record need not."""
    table = next(each for each in turned("/log list") if isinstance(each, Table))
    assert table.rows[0][-1] == "password=[redacted:secret]"
