"""Playbooks and runs on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from agent_api.cli.main import main
from agent_api.cli.playbook_offline import with_own_node
from agent_api.cli.playbook_view import show_planned, show_playbook
from agent_api.cli.run import Timeline
from playbooks.actions.standing import actor_for
from playbooks.document.schema import document_schema
from playbooks.library import library
from runtime.cluster.identity import Listen, NodeIdentity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.names import NodeId
from tests.unit.gate_parts import person
from tests.unit.playbook_parts import LOG_LEVEL, PlaybooksOnHand


def file_of(directory: Path, text: str) -> str:
    path = directory / "p.toml"
    path.write_text(text)
    return str(path)


def test_lint_tells_every_mistake_with_its_line_and_ends_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = file_of(tmp_path, LOG_LEVEL.replace('"log-level.set"', '"log-levle.set"'))
    assert main(["playbook", "lint", wrong]) == 1
    said = capsys.readouterr().out
    assert (
        f"{wrong}:19: step[0].uses: there is no operation or action 'log-levle.set'; did you mean log-level.set" in said
    )
    assert main(["playbook", "lint", wrong, "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["file"], problem["line"], problem["key"]) == (wrong, 19, "step[0].uses")
    assert problem["remedy"]


def test_lint_tells_of_files_that_cannot_be_read_as_of_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of many that is missing must not keep the others from being looked at."""
    (tmp_path / "noise.toml").write_bytes(b"\xb0")
    wanted = (str(tmp_path / "nothing.toml"), str(tmp_path / "noise.toml"), file_of(tmp_path, LOG_LEVEL))
    assert main(["playbook", "lint", *wanted]) == 1
    told = capsys.readouterr().out
    for words in ("nothing.toml cannot be read", "noise.toml is no text in UTF-8", ": no mistakes"):
        assert words in told


def test_lint_of_sound_files_ends_with_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playbook", "lint", file_of(tmp_path, LOG_LEVEL)]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_the_schema_is_printed_as_it_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playbook", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == document_schema()


@pytest.mark.parametrize(
    ("text", "words"),
    [(LOG_LEVEL, "needs a cluster"), ("nothing", "Expected")],
)
def test_offline_carries_out_only_what_is_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert main(["playbook", "offline", file_of(tmp_path, text), "--data", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


def test_offline_it_is_this_node_where_none_is_named(tmp_path: Path) -> None:
    """Whoever needs it has an incident, and nothing else can be touched from there."""
    (source,) = [each for each in library() if each.document.playbook.id == "quorum-lost"]
    addresses = Listen(host="127.0.0.1", http=1, api=2, peer=3, control=4, store=5)
    identity = NodeIdentity(node=NodeId("n7"), cluster_id="c", role="core", zone="z", listen=addresses)
    write_identity(NodeLayout(tmp_path).identity, identity)
    assert with_own_node(source, {}, tmp_path) == {"node": "n7"}
    assert with_own_node(source, {"node": "n2"}, tmp_path) == {"node": "n2"}


@pytest.mark.anyio
async def test_a_plan_is_told_step_by_step_with_its_diff(capsys: pytest.CaptureFixture[str]) -> None:
    world = PlaybooksOnHand()
    await world.gate.populate()
    params: dict[str, object] = {"level": "debug", "time": "1s"}
    found = await world.planner.plan(world.source(LOG_LEVEL), params, actor_for(person("anna"), "p"))
    show_planned(msgspec.json.decode(msgspec.json.encode(found)))
    said = capsys.readouterr().out
    assert "log-level 1.0.0 with level = debug, time = 1s" in said
    assert "condition holds  cluster.quorum" in said
    assert "+ debug" in said
    assert "2 of 2 steps with an effect are predicted" in said
    assert "it can be started" in said


def test_a_playbook_is_shown_with_its_source_last(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"step": "raise", "uses": "log-level.set", "effect": "idempotent", "verify": "", "undo": "inverse"}
    answer = {"playbook": "p", "params": {"level": {"type": "string"}}, "steps": [row], "source": 'id = "p"\n'}
    show_playbook(answer)
    said = capsys.readouterr().out
    assert said.endswith('id = "p"\n')
    assert said.index("level") < said.index("raise")


def step(**members: object) -> dict[str, object]:
    plain = {"step": "a", "state": "begun", "attempt": 1, "undo": "none", "began_unix_ms": 1_500, "ended_unix_ms": 0}
    return {**plain, "error": None, "result": {}, "waits_for": "", **members}


def shown(state: str, *steps: dict[str, object], error: object = None) -> dict[str, object]:
    run = {"title": "p 1", "state": state, "began_unix_ms": 1_000, "ended_unix_ms": 3_000, "reason": ""}
    return {"run": run, "steps": list(steps), "error": error, "result": {}}


def test_a_timeline_tells_each_state_of_a_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline(as_json=False)
    assert timeline.take(shown("running", step())) == "running"
    timeline.take(shown("running", step()))
    timeline.take(shown("running", step(state="waiting", waits_for="proposal/x")))
    failed = step(state="failed", attempt=2, ended_unix_ms=2_700, error={"code": "late", "detail": "too late"})
    last = shown("failed", failed, error={"code": "late", "detail": "a: too late"})
    timeline.take(last)
    timeline.end(last)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[:3]] == [
        ["0.5", "s", "a", "begun"],
        ["0.5", "s", "a", "waiting"],
        ["0.5", "s", "a", "failed"],
    ]
    assert "waits for proposal/x" in lines[1]
    assert "attempt 2: late: too late" in lines[2]
    assert lines[3] == "p 1 failed after 2.0 s: late: a: too late"


def test_a_timeline_for_programs_is_json_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline(as_json=True)
    ended = shown("succeeded", step(state="done", ended_unix_ms=2_000))
    timeline.take(ended)
    timeline.end(ended)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["step"]["state"] == "done"
    assert second["run"]["state"] == "succeeded"
