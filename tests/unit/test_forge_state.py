"""Forge's directory: locked, whole or refused, and only ever deleted when Forge made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_api.cli.forge_view import port_lines
from evals.forge.app import AppUnusable, read_app
from evals.forge.errors import StateUnusable
from evals.forge.state_dir import Manifest, StateDir
from runtime.cluster.identity import Listen

MADE = Manifest(cluster_id="c", nodes=("n1",))


def test_a_temporary_directory_goes_with_its_forge(tmp_path: Path) -> None:
    state = StateDir.open(None, keep=False)
    assert state.path.is_dir()
    state.close()
    assert not state.path.exists()


def test_a_named_directory_stays_and_is_found_again(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path / "state", keep=False)
    (state.node("n1")).mkdir()
    (state.node("n1") / "node.json").write_text("{}")
    state.finish(MADE)
    state.close()
    again = StateDir.open(tmp_path / "state", keep=False)
    assert again.manifest == MADE
    again.close()


def test_two_forges_on_one_directory_are_one_too_many(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path, keep=True)
    with pytest.raises(StateUnusable, match="another Forge"):
        StateDir.open(tmp_path, keep=True)
    state.close()


def test_a_half_deleted_directory_is_refused_with_the_remedy(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path, keep=True)
    state.finish(MADE)
    state.close()
    with pytest.raises(StateUnusable, match=r"n1 has no node\.json") as refused:
        StateDir.open(tmp_path, keep=True)
    assert "Delete" in str(refused.value.problem()["remedy"])


def test_the_rest_of_a_start_that_failed_is_refused(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path, keep=True)
    state.node("n1").mkdir()
    state.close()
    with pytest.raises(StateUnusable, match="did not finish"):
        StateDir.open(tmp_path, keep=True)


def test_somebody_else_s_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StateUnusable, match="not made by Forge"):
        StateDir.open(tmp_path, keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_project_without_a_blueprint_says_so(tmp_path: Path) -> None:
    with pytest.raises(AppUnusable, match=r"blueprint\.toml cannot be read"):
        read_app(tmp_path)
    (tmp_path / "blueprint.toml").write_text("id = 3\n[[slices]]\n")
    with pytest.raises(AppUnusable, match="'slice'"):
        read_app(tmp_path)
    (tmp_path / "blueprint.toml").write_bytes(b"\xff")
    with pytest.raises(AppUnusable):
        read_app(tmp_path)


def test_every_port_of_every_node_is_printed() -> None:
    core = Listen(http=7400, api=7401, peer=7402, control=7403, store=7404, advertised={"peer": "127.0.0.1:40001"})
    heading, first, second = port_lines({"n1": core, "n2": Listen(http=7410, api=7411, peer=7412, control=7413)})
    assert heading.split("   ")[0].strip() == "node"
    assert [part in first for part in ("http://127.0.0.1:7400", "http://127.0.0.1:7401", "7403", "7404")] == [True] * 4
    assert "40001 → 7402" in first
    assert second.split() == ["n2", "http://127.0.0.1:7410", "http://127.0.0.1:7411", "7412", "7413", "–"]
