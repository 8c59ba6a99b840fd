"""Changes by command: what they ask, what they say, what waits for whom, and with which code they end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent_api.cli.main import main
from controllers.ttm.card import SHIPPED, read_model, write_model
from controllers.ttm.model_file import unpack_model
from tests.unit.api_stub import Asked, Reply, Serve, applied, problem, proposal, proposed

pytestmark = pytest.mark.usefixtures("alone")

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

Capture = pytest.CaptureFixture[str]


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


def test_a_model_is_sent_as_one_file_and_one_whose_card_is_another_s_is_not_sent(
    serve: Serve, tmp_path: Path, capsys: Capture
) -> None:
    api = serve(applied(result={"number": 3}))
    write_model(tmp_path, *read_model(SHIPPED))
    assert main(["ttm", "upload", str(tmp_path), "--reason", "ours"]) == 0
    (sent,) = api.asked
    assert sent.path == f"/v1/ttm/models?sha256={hashlib.sha256(sent.body).hexdigest()}&reason=ours"
    assert unpack_model(sent.body) == read_model(SHIPPED)
    (tmp_path / "model.onnx").write_bytes(b"another")
    assert main(["ttm", "upload", str(tmp_path)]) == 1
    assert "its SHA-256 differs" in capsys.readouterr().err


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
