"""Slash commands: exact, or refused with how they are written."""

from __future__ import annotations

import pytest

from agent_api.catalogue import make_catalogue
from llm_layer.errors import SlashInvalid
from llm_layer.router.slash import completions, read_slash, usage

CATALOGUE = make_catalogue()


@pytest.mark.parametrize(
    ("text", "operation", "members"),
    [
        ("/slice scale orders 5", "slice.scale", {"slice": "orders", "instances": 5}),
        ("/slice.scale orders instances=5", "slice.scale", {"slice": "orders", "instances": 5}),
        ("/slice set-bounds orders 2 --max 8", "slice.set-bounds", {"slice": "orders", "min": 2, "max": 8}),
        ("/node drain n1", "node.drain", {"node": "n1"}),
        ("/cluster status", "cluster.status", {}),
        (
            '/slice set-routing-weights orders \'{"1.0.0":9,"1.1.0":1}\'',
            "slice.set-routing-weights",
            {"slice": "orders", "weights": {"1.0.0": 9, "1.1.0": 1}},
        ),
    ],
)
def test_a_command_is_its_operation(text: str, operation: str, members: dict[str, object]) -> None:
    found, given = read_slash(text, CATALOGUE)
    assert (found.name, given) == (operation, members)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/slice scael orders 5", "did you mean slice scale"),
        ("/slice scale orders", "/slice scale SLICE INSTANCES"),
        ("/slice scale orders many", "/slice scale SLICE INSTANCES"),
        ("/slice scale orders 5 6", "too much"),
        ("/slice scale orders 5 slice=payment", "given twice"),
        ("/slice scale 'orders", "quotation mark"),
        ("/blueprint apply shop a b hunter2", "a word is too much"),
        ("/log-level set loud", "it takes debug"),
        ("/", "no command"),
        ("/blueprint apply.shop hunter2", "did you mean blueprint apply"),
    ],
)
def test_what_is_no_command_is_refused_in_words(text: str, says: str) -> None:
    """Nothing is executed for being nearly right."""
    with pytest.raises(SlashInvalid, match=says):
        read_slash(text, CATALOGUE)


@pytest.mark.parametrize("text", ["/token hunter2", "/token=hunter2", "/blueprint aply hunter2", "/'aply hunter2'"])
def test_a_refusal_repeats_no_words_of_a_command_that_there_is_not(text: str) -> None:
    """It is kept with the conversation, like any answer."""
    with pytest.raises(SlashInvalid) as refused:
        read_slash(text, CATALOGUE)
    assert "hunter2" not in str(refused.value)


def test_commands_are_completed() -> None:
    assert completions("/slice s", CATALOGUE) == [
        "/slice scale",
        "/slice set-bounds",
        "/slice set-routing-weights",
        "/slice show",
    ]


def test_usage_tells_every_member() -> None:
    assert usage(CATALOGUE.find("slice.scale")) == "/slice scale SLICE INSTANCES [version=…]"
