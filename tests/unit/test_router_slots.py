"""What a sentence names and how many: only names that exist, only numbers that were said."""

from __future__ import annotations

import pytest

from llm_layer.router.guards import why_no_card
from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import read_sentence
from llm_layer.router.slots import fill

HERE = Inventory(
    slices=("orders", "payment", "checkout", "shop"),
    nodes=("n1", "n2"),
    blueprints=("shop",),
    wanted={"orders": 3, "payment": 2},
    versions={"orders": ("1.0.0", "1.1.0")},
)


@pytest.mark.parametrize(
    ("operation", "text", "params"),
    [
        ("slice.scale", "scale Orders to 5", {"slice": "orders", "instances": 5}),
        ("slice.scale", "scale orders from 3 to five", {"slice": "orders", "instances": 5}),
        ("slice.scale", "add two instances to orders", {"slice": "orders", "instances": 5}),
        ("slice.scale", "nimm eine Instanz von orders weg", {"slice": "orders", "instances": 2}),
        ("slice.scale", "double orders", {"slice": "orders", "instances": 6}),
        ("slice.scale", "halbiere orders", {"slice": "orders", "instances": 2}),
        ("slice.scale", "erhöhe orders um 4", {"slice": "orders", "instances": 7}),
        ("slice.scale", "reduce orders a 1", {"slice": "orders", "instances": 1}),
        ("slice.scale", "aumenta orders di 2", {"slice": "orders", "instances": 5}),
        ("slice.set-bounds", "orders at most 9, at least 2", {"slice": "orders", "min": 2, "max": 9}),
        ("slice.set-routing-weights", "10% of orders to 1.1.0",
         {"slice": "orders", "weights": {"1.1.0": 10, "1.0.0": 90}}),
        ("controller.pin", "halte orders für 2 Stunden auf 5", {"slice": "orders", "instances": 5, "minutes": 120}),
        ("controller.pin", "pin orders to 4 for 1.5 hours", {"slice": "orders", "instances": 4, "minutes": 90}),
        ("controller.pin", "pin orders to 4 for 90 seconds", {"slice": "orders", "instances": 4, "minutes": 1}),
        ("alert.set-threshold", "alert if p99 of orders is above 0.5 s",
         {"slice": "orders", "metric": "p99_ms", "bound": 500.0}),
        ("alert.set-threshold", "error rate of orders over 5%",
         {"slice": "orders", "metric": "errors_share", "bound": 0.05}),
        ("alert.set-threshold", "alert when p95 of orders exceeds 200 for 30 s",
         {"slice": "orders", "metric": "p95_ms", "bound": 200.0, "for_s": 30}),
        ("freeze.set", "freeze the whole cluster because of the audit", {"subject": "cluster", "why": "the audit"}),
        ("blueprint.show", "show blueprint shop", {"blueprint": "shop"}),
        ("config.set", "set drain_s to 20", {"name": "drain_s", "value": 20.0}),
        ("log.list", "search the logs for \"no route\"", {"text": "no route"}),
        ("instance.kill", "kill instance 0 of orders on n2", {"node": "n2", "slice": "orders", "number": 0}),
    ],
)  # fmt: skip
def test_members_are_read_as_they_are_meant(operation: str, text: str, params: dict[str, object]) -> None:
    """A wrong number on a card is a change that somebody approves by mistake."""
    found, missing = fill(operation, read_sentence(text, HERE), HERE)
    assert (found, missing) == (params, ())


@pytest.mark.parametrize(
    ("operation", "text", "missing"),
    [
        ("slice.scale", "scale orders", ("instances",)),
        ("slice.scale", "scale chekout to 5", ("slice",)),
        ("slice.scale", "orders between 2 and 8", ("instances",)),
        ("slice.scale", "remove 9 instances from orders", ("instances",)),
        ("slice.scale", "add 2 instances to checkout", ("instances",)),
        ("slice.restart", "restart orders and payment", ("slice",)),
        ("node.drain", "drain n99", ("node",)),
        ("config.set", "set drain_s to 99999", ("value",)),
    ],
)
def test_what_is_not_said_is_not_guessed(operation: str, text: str, missing: tuple[str, ...]) -> None:
    """Of what is missing, near, doubled or out of bounds, people are asked."""
    assert fill(operation, read_sentence(text, HERE), HERE)[1] == missing


def test_a_name_that_is_nearly_right_is_noted_and_not_taken() -> None:
    sentence = read_sentence("scale chekout to 5", HERE)
    assert sentence.near == (("chekout", "slice", "checkout"),)
    assert sentence.names("slice") == []
    assert sentence.masked == "scale SLICE to NUMBER"


def test_no_name_is_found_inside_a_word() -> None:
    assert read_sentence("reorders and n10 shoppers", HERE).names("slice") == []


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ("slice.restart", "don't restart orders"),
        ("slice.restart", "orders bitte nicht neu starten"),
        ("slice.restart", "ne redémarre pas orders"),
        ("slice.restart", "no reinicies orders"),
        ("slice.restart", "non riavviare orders"),
        ("slice.restart", "não reinicies orders"),
        ("slice.restart", "herstart orders niet"),
        ("slice.restart", "waarom is orders herstart"),
        ("slice.restart", "quem reiniciou orders"),
        ("node.drain", "moeten we n1 leegmaken?"),
        ("node.cordon", "never cordon n1"),
        ("node.cordon", "lift the cordon on n1"),
        ("node.cordon", "hebe die Sperre von n1 auf"),
        ("node.uncordon", "freeze scheduling on n1"),
        ("node.drain", "n1 is repaired, take it back"),
        ("freeze.set", "lève le gel de orders"),
        ("freeze.lift", "gèle orders"),
        ("freeze.set", "hef de bevriezing van orders op"),
        ("freeze.set", "tira o congelamento de orders"),
        ("freeze.lift", "bevries orders"),
        ("node.drain", "o n1 está consertado"),
        ("slice.scale", "verlaag orders naar 9"),
        ("controller.pin", "unpin orders"),
        ("incident.open", "close the incident of orders"),
        ("node.drain", "should we drain n1?"),
        ("node.shutdown", "why was n1 shut down"),
        ("slice.scale", "scale orders down to 9"),
        ("slice.scale", "increase orders to 1"),
        ("slice.scale", "scale orders to 5?"),
        ("slice.scale", "\u00bfdeber\u00eda escalar orders a 5?"),
        ("slice.scale", "we just scaled orders to 5"),
        ("slice.scale", "orders was scaled to 5 yesterday"),
        ("slice.scale", "wir haben orders auf 5 skaliert"),
        ("slice.scale", "orders wurde auf 5 skaliert"),
        ("slice.scale", "hemos escalado orders a 5"),
        ("slice.scale", "abbiamo scalato orders a 5"),
        ("slice.scale", "scale orders to 5 if load is high"),
        ("slice.scale", "skaliere orders auf 5, sobald mehr Last kommt"),
        (
            "slice.scale",
            "\u043d\u0435 \u043c\u0430\u0441\u0448\u0442\u0430\u0431\u0438\u0440\u0443\u0439 orders \u0434\u043e 5",
        ),
        ("slice.scale", "\u4e0d\u8981 scale orders to 5"),
        ("slice.scale", "scale orders to -3"),
        ("slice.scale", "scale orders to \u22124"),
        ("slice.scale", "add -2 instances to orders"),
        ("slice.scale", "scale orders to 5.5"),
        ("slice.scale", "scale orders to 3,5"),
        ("slice.scale", "scale orders to 5\u00bd"),
        ("slice.scale", "scale orders to five and a half"),
        ("slice.scale", "scale orders to 50%"),
        ("slice.scale", "orders auf 50 Prozent skalieren"),
        ("slice.scale", "increase orders by 20 percent"),
        ("slice.scale", "scale orders to 5x"),
        ("slice.scale", "scale orders to 5k"),
        ("slice.scale", "scale orders to 3 or 5"),
        ("slice.set-bounds", "keep orders between -2 and 6"),
        ("slice.set-bounds", "scale orders from 3 to 5"),
        ("slice.set-routing-weights", "scale orders 1.1.0 to 5"),
        ("controller.pin", "pin orders at 4.5"),
        ("controller.pin", "hold orders at 4 for 2,5 hours"),
        ("node.provision", "add -2 nodes"),
    ],
)
def test_what_may_mean_the_opposite_is_no_card(operation: str, text: str) -> None:
    """Whatever a classifier makes of its letters."""
    sentence = read_sentence(text, HERE)
    assert why_no_card(operation, sentence, fill(operation, sentence, HERE)[0], HERE)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ("slice.restart", "can you restart orders?"),
        ("node.cordon", "no new instances on n1"),
        ("node.cordon", "keine neuen Instanzen auf n1"),
        ("node.cordon", "non mettere niente di nuovo su n1"),
        ("node.cordon", "não coloques nada novo em n1"),
        ("node.cordon", "plaats niets nieuws op n1"),
        ("node.uncordon", "lift the cordon on n1"),
        ("node.activate", "n1 ist repariert und kann wieder genutzt werden"),
        ("freeze.lift", "dégèle orders"),
        ("freeze.lift", "ontdooi orders"),
        ("freeze.lift", "descongela orders"),
        ("incident.close", "sluit het incident van orders"),
        ("incident.open", "abre um incidente para orders"),
        ("node.drain", "tira tudo de n1 para manutenção"),
        ("node.cordon", "haal n1 uit de planning"),
        ("slice.scale", "scale orders down to 1"),
        ("slice.scale", "scale orders to 5."),
        ("slice.scale", "\u00bfpuedes escalar orders a 5?"),
        ("slice.scale", "we need 5 orders"),
        ("incident.close", "we fixed it, close the incident of orders"),
        ("alert.set-threshold", "page me if p99 of orders climbs above 800 ms"),
        ("node.drain", "drain n1 when it is possible"),
        ("slice.scale", "scale orders - 5 instances"),
        ("slice.scale", "orders -> 5"),
        ("slice.scale", "scale orders 1.1.0 to 5"),
        ("slice.set-bounds", "keep orders between 2 and 6"),
        ("slice.set-routing-weights", "give 1.1.0 of orders 20% of the traffic"),
        ("controller.pin", "pin orders at 4 for 1.5 hours"),
    ],
)
def test_what_is_plainly_meant_may_be_a_card(operation: str, text: str) -> None:
    sentence = read_sentence(text, HERE)
    assert why_no_card(operation, sentence, fill(operation, sentence, HERE)[0], HERE) == ""
