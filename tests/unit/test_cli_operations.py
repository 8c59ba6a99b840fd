"""Commands that come from the catalogue: what they ask, what they print, and with which code they end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_api.catalogue import make_catalogue
from agent_api.cli.grammar import COMMANDS, NOUNS, VERBS, words_of
from agent_api.cli.main import main
from tests.unit.api_stub import Asked, Reply, StubApi, applied, closed_port, problem, proposal, proposed

ROWS = [
    {"slice": "orders", "version": "1.0.0", "wanted": 3, "serving": 2, "failed": 0, "reasons": ["it waits"]},
    {"slice": "pricing", "version": "1.0.0", "wanted": 2, "serving": 2, "failed": 0, "reasons": []},
]
PLAN = {
    "outcome": "planned",
    "operation": "slice.scale",
    "subject": "slice:orders",
    "summary": "orders 1.0.0: 2 -> 5 instances",
    "diff": [{"key": "slice-target/orders/1.0.0", "path": "wanted", "before": 2, "after": 5}],
    "blast": {"instances": 3, "budget_left": 1},
    "inverse": None,
    "estimated_ms": 1000,
    "gate_class": "G0",
    "decision": "act",
    "rule": "low risk for a person",
    "approvers": "nobody",
    "effect": "e",
    "revision": 4,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No context, address or key of whoever runs the tests."""
    for name in ("AETHER_API", "AETHER_KEY", "AETHER_ADMIN_KEY", "AETHER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StubApi]]:
    """Starts an API that the commands find."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(*replies: Reply, answer: Callable[[Asked], Reply] | None = None) -> StubApi:
            api = stack.enter_context(StubApi(*replies, answer=answer).serving())
            monkeypatch.setenv("AETHER_API", api.address)
            return api

        yield start


Serve = Callable[..., StubApi]
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


def test_a_change_takes_its_words_in_place_and_tells_how_to_undo_it(serve: Serve, capsys: Capture) -> None:
    api = serve(applied())
    assert main(["slice", "scale", "orders", "5", "--reason", "peak", "--idempotency-key", "k1"]) == 0
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("PUT", "/v1/slices/orders/scale?reason=peak")
    assert asked.document == {"instances": 5}
    assert asked.headers["idempotency-key"] == "k1"
    said = capsys.readouterr().out
    assert "orders 1.0.0: 2 -> 5 instances" in said
    assert "aether slice scale orders 2" in said


def test_pairs_become_an_object(serve: Serve) -> None:
    api = serve(applied())
    assert main(["slice", "set-routing-weights", "orders", "1.0.0=90", "1.1.0=10"]) == 0
    assert api.asked[0].document == {"weights": {"1.0.0": 90, "1.1.0": 10}}


def test_a_dry_run_shows_the_change_and_the_gates_word(serve: Serve, capsys: Capture) -> None:
    serve(Reply(PLAN))
    assert main(["slice", "scale", "orders", "5", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "- wanted: 2" in said
    assert "+ wanted: 5" in said
    assert "would act at once (low risk for a person)" in said
    assert "\033[" not in said, "no colours where nobody looks at a terminal"


def test_texts_are_compared_line_by_line(serve: Serve, capsys: Capture) -> None:
    change = {"key": "gate-policy", "before": "version = 1\nsame = 2\n", "after": "version = 2\nsame = 2\n"}
    serve(Reply({**PLAN, "diff": [change]}))
    assert main(["slice", "scale", "orders", "5", "--dry-run"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "-version = 1" in lines
    assert "+version = 2" in lines
    assert "same = 2" in lines


def test_a_dry_run_that_would_be_refused_fails(serve: Serve) -> None:
    serve(Reply({**PLAN, "decision": "refuse"}))
    assert main(["slice", "scale", "orders", "5", "--dry-run"]) == 1


def test_exit_code_3_says_that_people_must_approve(serve: Serve, capsys: Capture) -> None:
    serve(proposed("p9"))
    assert main(["slice", "scale", "orders", "5", "--propose"]) == 3
    assert "aether approve p9" in capsys.readouterr().out


def test_exit_code_4_says_that_it_did_not_take_hold_in_time(serve: Serve, capsys: Capture) -> None:
    api = serve(applied(converged=False, waits_for="2 of 5 instances of orders serve"))
    assert main(["slice", "scale", "orders", "5", "--wait", "1"]) == 4
    assert "2 of 5" in capsys.readouterr().err
    assert api.asked[0].headers["prefer"] == "wait=1"


def test_watching_tells_how_far_it_is_under_one_key(serve: Serve, capsys: Capture) -> None:
    far, near = (applied(converged=False, waits_for=f"{count} of 5 serve") for count in (3, 4))
    api = serve(far, near, near, applied(converged=True))
    assert main(["slice", "scale", "orders", "5", "--watch"]) == 0
    assert capsys.readouterr().err.splitlines() == ["3 of 5 serve", "4 of 5 serve"]
    assert len({each.headers["idempotency-key"] for each in api.asked}) == 1


def test_waiting_goes_over_the_approval(serve: Serve, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_api.client.talks.LOOKS_S", (0.001,))
    stages = iter([("pending", None), ("applied", False), ("applied", True), ("applied", True)])

    def answer(asked: Asked) -> Reply:
        if asked.method == "PUT":
            return proposed()
        state, converged = next(stages)
        return Reply({"proposal": proposal(state, votes=1), "converged": converged, "waits_for": "much"})

    serve(answer=answer)
    assert main(["slice", "scale", "orders", "5", "--wait", "5"]) == 0
    told = capsys.readouterr()
    assert ("applied" in told.out, "not yet" in told.err) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        ["slice", "scale", "orders", "5", "--wait", "0.01"],
        ["rollback", "p0", "--wait", "0.01"],
        ["approve", "p1", "--wait", "0.01"],
    ],
)
def test_what_was_approved_but_did_not_take_hold_in_time_ends_with_4(
    serve: Serve, capsys: Capture, words: list[str]
) -> None:
    shown = Reply({"proposal": proposal("applied", votes=1), "converged": False, "waits_for": "2 of 5 serve"})

    def answer(asked: Asked) -> Reply:
        return shown if asked.method == "GET" or "approve" in asked.path else proposed()

    serve(answer=answer)
    assert main(words) == 4
    assert "2 of 5 serve" in capsys.readouterr().err


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


def test_a_vote_waits_until_what_it_decided_is_applied(serve: Serve, capsys: Capture) -> None:
    approved, done = (
        Reply({"proposal": proposal("approved", votes=1)}),
        Reply({"proposal": proposal("applied", votes=1)}),
    )
    api = serve(approved, done)
    assert main(["approve", "p1", "--reason", "seen"]) == 0
    assert (api.asked[0].path, api.asked[0].document) == ("/v1/proposals/p1/approve", {"reason": "seen"})
    assert "ada: seen" in capsys.readouterr().out
    serve(Reply({"proposal": proposal("pending", votes=1)}))
    assert main(["approve", "p1"]) == 3
    serve(Reply({"proposal": proposal("rejected")}))
    assert main(["reject", "p1"]) == 0
    assert main(["withdraw", "p1"]) == 1


def test_an_artifact_is_sent_with_its_hash_and_forgotten_by_name(serve: Serve, tmp_path: Path) -> None:
    """Sent again as a whole when the answer was lost: under one key it is kept once."""
    api = serve(Reply(breaks=True), applied(result={"name": "shop", "version": "1.0.0"}), applied(result={}))
    wheel = tmp_path / "shop-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"bytes" * 100_000)
    assert main(["artifact", "upload", str(wheel), "--reason", "release"]) == 0
    assert main(["artifact", "delete", "shop==1.0.0"]) == 0
    assert main(["artifact", "delete", "shop"]) == 2
    lost, sent, gone = api.asked
    assert lost.body == sent.body == wheel.read_bytes()
    assert lost.headers["idempotency-key"] == sent.headers["idempotency-key"]
    assert sent.path == f"/v1/artifacts?sha256={hashlib.sha256(sent.body).hexdigest()}&reason=release"
    assert (gone.method, gone.path) == ("DELETE", "/v1/artifacts/shop/1.0.0")


def test_reviews_are_listed_and_closed_with_what_was_found(serve: Serve, capsys: Capture) -> None:
    actor = {"kind": "person", "id": "ada", "role": "admin"}
    review = {
        "id": "a1",
        "kind": "break_glass",
        "opened_unix_ms": 1,
        "actor": actor,
        "summary": "3 -> 0",
        "reason": "fire",
    }
    api = serve(Reply({"items": [review]}))
    assert main(["reviews"]) == 0
    assert "break_glass" in capsys.readouterr().out
    assert main(["review", "close", "a1", "--reason", "it was right"]) == 0
    assert (api.asked[1].path, api.asked[1].document) == ("/v1/reviews/a1/close", {"reason": "it was right"})


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


def test_a_rollback_is_a_change_like_any_other(serve: Serve) -> None:
    api = serve(applied())
    assert main(["rollback", "p1", "--reason", "errors", "--propose"]) == 0
    assert (api.asked[0].method, api.asked[0].path) == ("POST", "/v1/proposals/p1/rollback?propose=true&reason=errors")


def test_a_change_that_was_made_at_once_is_undone_by_its_audit_record(serve: Serve, capsys: Capture) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v1/proposals/"):
            return problem("proposal_not_found", status=404)
        return applied() if "a1" in asked.path else problem("nothing_to_undo", detail="nothing would undo it")

    api = serve(answer=answer)
    assert main(["rollback", "a1", "--reason", "errors"]) == 0
    assert (api.asked[-1].path, api.asked[-1].document) == (
        "/v1/audit/a1/rollback?reason=errors",
        {"reason": "errors"},
    )
    assert main(["rollback", "a2"]) == 1
    assert "nothing would undo it" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    "words",
    [
        ["--param", "slice=orders", "--param", "instances=5"],
        ["--params", '{"slice": "orders", "instances": 5}'],
        ["--params", '{"slice": "orders", "instances": 2}', "--param", "instances=5"],
    ],
)
def test_explaining_takes_parameters_as_the_operation_wants_them(
    serve: Serve, capsys: Capture, words: list[str]
) -> None:
    plan = {**PLAN, "gate_class": "G1", "decision": "propose", "approvers": "one approver"}
    api = serve(Reply({"actor": "any agent", "allowed": "propose", "plan": plan}))
    assert main(["gate", "explain", "slice.scale", "--as", "agent", *words]) == 0
    assert api.asked[0].document == {
        "operation": "slice.scale",
        "as": "agent",
        "request": {"slice": "orders", "instances": 5},
    }
    assert "would wait for one approver" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[5]", "slice=orders"])
def test_parameters_that_are_no_object_are_told_as_wrong_use(serve: Serve, capsys: Capture, text: str) -> None:
    api = serve(Reply({}))
    assert main(["gate", "explain", "slice.scale", "--params", text]) == 2
    assert "no JSON object" in capsys.readouterr().err
    assert not api.asked


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
