"""Commands that come from the catalogue: which there are, what lists print, and how what is wrong ends."""

from __future__ import annotations

import json

import pytest

from agent_api.catalogue import make_catalogue
from agent_api.cli.grammar import COMMANDS, NOUNS, VERBS, words_of
from agent_api.cli.main import main
from tests.unit.api_stub import Reply, Serve, closed_port, problem

pytestmark = pytest.mark.usefixtures("alone")

ROWS = [
    {"slice": "orders", "version": "1.0.0", "wanted": 3, "serving": 2, "failed": 0, "reasons": ["it waits"]},
    {"slice": "pricing", "version": "1.0.0", "wanted": 2, "serving": 2, "failed": 0, "reasons": []},
]

Capture = pytest.CaptureFixture[str]


def test_a_list_is_a_table_for_people_and_json_for_programs(serve: Serve, capsys: Capture) -> None:
    serve(Reply({"revision": 3, "stale": False, "slices": ROWS, "next": ""}))
    assert main(["slices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SLICE", "VERSION", "WANTED", "SERVING", "FAILED", "REASONS"]
    assert lines[1].split() == ["orders", "1.0.0", "3", "2", "0", "it", "waits"]
    assert main(["slice", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slices"] == ROWS


def test_a_list_has_all_pages_unless_some_are_asked_for(serve: Serve, capsys: Capture) -> None:
    first = Reply({"revision": 3, "slices": ROWS[:1], "next": "c"})
    api = serve(first, Reply({"revision": 4, "slices": ROWS[1:], "next": ""}))
    assert main(["slices", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["slices"]) == 2
    api = serve(first)
    assert main(["slices", "--limit", "1"]) == 0
    assert "--cursor c" in capsys.readouterr().err
    assert len(api.asked) == 1


def test_the_list_of_events_ends_with_the_newest(serve: Serve, capsys: Capture) -> None:
    """It tells where it ends, to be asked again later; that is no further page."""
    page = {"revision": 9, "events": [{"id": "9.0", "event": "NodeJoined", "data": {"node": "n1"}}], "next": "9.0"}
    api = serve(Reply(page), Reply({**page, "events": []}))
    assert main(["event", "list", "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["events"]] == ["9.0"]
    assert len(api.asked) == 2


def test_a_refusal_is_one_sentence_and_what_to_do(serve: Serve, capsys: Capture) -> None:
    serve(problem("out_of_bounds", detail="9 is outside 2 to 6", remedy="Stay within."))
    assert main(["slice", "scale", "orders", "9"]) == 1
    assert capsys.readouterr().err == "aether slice scale: 9 is outside 2 to 6\n  Stay within.\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["slise", "list"], "slice"),
        (["slice", "scael", "orders", "5"], "scale"),
        (["slice", "scale", "orders", "five"], "whole number, 0 to 1000"),
        (["slice", "set-routing-weights", "orders", "ninety"], "KEY=VALUE"),
    ],
)
def test_wrong_words_end_with_2_and_name_what_is_near(words: list[str], hint: str, capsys: Capture) -> None:
    with closed_port() as nowhere:
        assert main([*words, "--api", nowhere] if words[1] != "list" else words) == 2
    assert hint in capsys.readouterr().err


def test_nothing_named_says_how_to_name_a_cluster(capsys: Capture) -> None:
    assert main(["slices"]) == 1
    assert "aether context add" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["slice", "scale", "a", "5", "--dryrun"], "--dry-run"),
        (["slice", "scale", "a", "5", "6"], "'6'"),
        (["build", "-x"], "-x"),
    ],
)
def test_a_word_too_many_is_told_in_two_lines(words: list[str], hint: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n") == 2


def test_the_overview_names_every_noun_of_the_catalogue() -> None:
    """A noun that is missing there could not be reached from the command line at all."""
    nouns = {words_of(each.name).partition(" ")[0] for each in make_catalogue()}
    assert nouns <= NOUNS.keys()
    assert not NOUNS.keys() & COMMANDS.keys()
    assert VERBS.keys() <= NOUNS.keys()
    assert NOUNS.keys() - VERBS.keys() <= nouns


def test_every_operation_explains_itself(capsys: Capture) -> None:
    for operation in make_catalogue():
        with pytest.raises(SystemExit) as ended:
            main([*words_of(operation.name).split(), "--help"])
        assert ended.value.code == 0, operation.name
    assert main(["--help"]) == 0
    assert main(["node", "--help"]) == 0
    assert "cordon" in capsys.readouterr().out


def test_what_the_api_finds_wrong_is_answered_in_words_of_the_command_line(serve: Serve, capsys: Capture) -> None:
    problem = {
        "code": "request_invalid",
        "detail": "instances: too many",
        "retryable": False,
        "remedy": "GET /v1/openapi.json says what each path takes and answers.",
    }
    serve(Reply(problem, status=422))
    assert main(["slice", "scale", "orders", "5"]) == 1
    said = capsys.readouterr().err
    assert "aether slice scale --help" in said
    assert "openapi" not in said
