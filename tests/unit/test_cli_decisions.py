"""What was decided, and why, as the command line tells it: by people, by rules, by forecasts."""

from __future__ import annotations

import pytest

from agent_api.cli.main import main
from tests.unit.api_stub import Asked, Reply, Serve, problem, proposal

pytestmark = pytest.mark.usefixtures("alone")

Capture = pytest.CaptureFixture[str]


def record(identity: str, proposal_id: str = "") -> dict[str, object]:
    actor = {
        "kind": "model",
        "id": "m",
        "role": "operator",
        "behind": {"kind": "person", "id": "ada", "role": "operator"},
    }
    kept = {"id": identity, "kind": "applied", "at_unix_ms": 1, "actor": actor, "summary": "orders: 2 -> 5"}
    kept |= {"proposal": proposal_id, "rule": "low risk", "reason": "peak"}
    return {"number": 4, "revision": 9, "previous": "p", "hash": "h", "record": kept}


def test_why_tells_a_proposal_with_its_history_and_a_change_without_one(serve: Serve, capsys: Capture) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/v1/proposals/p1":
            return Reply({"proposal": proposal("applied", votes=1), "live": False})
        if asked.path.startswith("/v1/proposals/"):
            return problem("proposal_not_found", status=404)
        return Reply({"items": [record("a2", "p1"), record("a1")], "next": "", "sealed": 0})

    serve(answer=answer)
    assert main(["why", "p1"]) == 0
    said = capsys.readouterr().out
    assert "a2" in said
    assert "a1" not in said
    assert main(["why", "a1"]) == 0
    assert "m, for ada" in capsys.readouterr().out
    assert main(["why", "a9"]) == 1
    assert "aether audit export" in capsys.readouterr().err


def decision(identity: str) -> dict[str, object]:
    return {
        "id": identity,
        "kind": "change",
        "at_unix_ms": 1,
        "slice": "orders",
        "decision": {"wanted": 5, "asked": 5, "layer": "tree", "because": ["rules"], "path": ["slope_30s 0.9 > 0.5"]},
        "gate": {"outcome": "applied", "gate_class": "G0"},
        "seen": {"serving": 2, "starting": 0, "rate": 300.0},
        "options": [{"name": "hold", "instances": 2, "score": 9.0}],
        "outcomes": [{"after_min": 5, "rate": 310.0}],
    }


@pytest.mark.parametrize(("word", "path"), [("orders", "slice=orders"), ("1d2", "id=1d2")])
def test_why_tells_a_decision_by_its_id_and_a_slices_decisions_by_its_name(
    word: str, path: str, serve: Serve, capsys: Capture
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v1/proposals/"):
            return problem("proposal_not_found", status=404)
        if asked.path.startswith("/v1/controller/decisions"):
            assert path in asked.path
            return Reply({"items": [decision("1d2")], "next": ""})
        return Reply({"items": [], "next": "", "sealed": 0})

    serve(answer=answer)
    assert main(["why", word]) == 0
    said = capsys.readouterr().out
    assert "1d2" in said
    assert ("slope_30s" in said) == (word == "1d2")


def node_decision(identity: str) -> dict[str, object]:
    return {
        "id": identity,
        "kind": "change",
        "at_unix_ms": 1,
        "decision": {"add": 2, "remove": "", "asked": 3, "because": ["no_room", "step"]},
        "gate": {"outcome": "proposed", "proposal": "p7"},
        "seen": {"nodes": [{"node": "n1"}], "wanted": 9, "missing": 4},
        "outcomes": [{"after_min": 5, "nodes": 3, "missing": 0}],
    }


def test_decisions_about_nodes_are_listed_and_told_beside_those_about_slices(serve: Serve, capsys: Capture) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v1/proposals/"):
            return problem("proposal_not_found", status=404)
        if asked.path.startswith("/v1/controller/decisions"):
            items = [] if "id=" in asked.path else [decision("1d2")]
            return Reply({"items": items, "nodes": [node_decision("1d3")], "next": ""})
        return Reply({"items": [], "next": "", "sealed": 0})

    serve(answer=answer)
    assert main(["controller", "decisions"]) == 0
    listed = capsys.readouterr().out
    assert all(words in listed for words in ("1d2", "about nodes", "1d3", "2 more"))
    assert main(["why", "1d3"]) == 0
    told = capsys.readouterr().out
    assert all(words in told for words in ("nodes: 2 more", "no_room", "p7", "4 without room", "what came of it"))


def test_a_forecast_is_a_line_with_its_chart(serve: Serve, capsys: Capture) -> None:
    band = {"minute": 1, "p10": 1.0, "p50": 2.0, "p90": 3.0, "rate": 2.5}
    row = {"slice": "tea", "now": band, "past": [], "ahead": [], "chart": "▄|█", "wanted": 2, "serving": 2}
    serve(Reply({"revision": 1, "stale": False, "next": "", "leader": "n2", "items": [row], "trouble": ""}))
    assert main(["controller", "forecast"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["tea", "2.5", "1", "2", "3", "2", "2", "▄|█"]


@pytest.mark.parametrize(("trouble", "told"), [("", "ten of its minutes"), ("n2 did not answer", "n2 did not answer")])
def test_why_there_is_no_forecast_is_told(trouble: str, told: str, serve: Serve, capsys: Capture) -> None:
    serve(Reply({"revision": 1, "stale": False, "next": "", "leader": "n2", "items": [], "trouble": trouble}))
    assert main(["controller", "forecast"]) == 0
    said = capsys.readouterr()
    assert said.out == "nothing there\n"
    assert told in said.err


def test_decisions_about_nodes_are_told_in_a_line_each(serve: Serve, capsys: Capture) -> None:
    """All that they were made from filled the screen; `aether why` has it."""
    record = {**node_decision("1d3"), "config": {"act": True}}
    page = {"revision": 1, "stale": False, "provider": "unix:/nodes.sock", "config": {"most": 1}, "trouble": ""}
    serve(Reply({**page, "nodes": [{"node": "auto-1", "state": "joined"}], "decisions": [record]}))
    assert main(["controller", "nodes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["provider", "unix:/nodes.sock"]
    assert ["auto-1", "joined"] in [line.split() for line in lines]
    assert lines[-2].split() == ["AT", "KIND", "CHANGE", "BECAUSE", "GATE", "ID"]
    assert lines[-1].split()[2:] == ["change", "2", "more", "no_room,", "step", "proposed", "1d3"]


def test_an_answer_in_which_nothing_stands_says_so(serve: Serve, capsys: Capture) -> None:
    serve(Reply({"revision": 1, "stale": False, "provider": "", "config": {}, "nodes": [], "decisions": []}))
    assert main(["controller", "nodes"]) == 0
    assert capsys.readouterr().out == "nothing there\n"
