"""What stands around the commands: contexts, completion, the shell, and the generated reference."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_api.cli.complete import candidates, print_candidates
from agent_api.cli.connecting import located
from agent_api.cli.contexts import contexts_file
from agent_api.cli.docs import pages
from agent_api.cli.main import main
from agent_api.cli.shell import is_finished, words_of
from tests.unit.api_stub import Asked, Reply, StubApi, closed_port

pytestmark = pytest.mark.usefixtures("alone")
Capture = pytest.CaptureFixture[str]


def node_directory(path: Path, api_port: int, key: str = "") -> Path:
    from runtime.cluster.identity import Listen, NodeIdentity, write_identity
    from runtime.cluster.layout import NodeLayout

    path.mkdir(parents=True)
    listen = Listen(host="127.0.0.1", http=1, api=api_port, peer=3, control=4, store=5)
    identity = NodeIdentity(node="n1", cluster_id="c", role="core", zone="default", listen=listen)  # type: ignore[arg-type]
    write_identity(NodeLayout(path).identity, identity)
    if key:
        NodeLayout(path).admin_key.write_text(f"{key}\n")
    return path


# contexts


def test_contexts_are_kept_where_only_their_owner_reads_them(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "key").write_text("ae_secret\n")
    assert main(["context", "add", "prod", "--api", "h:1,h:2", "--key-file", str(tmp_path / "key"), "--offline"]) == 0
    assert contexts_file().stat().st_mode & 0o777 == 0o600
    assert located() == located(context="prod")
    assert (located().addresses, located().key) == (("h:1", "h:2"), "ae_secret")
    assert main(["context", "list", "--json"]) == 0
    assert "ae_secret" not in (said := capsys.readouterr().out)
    assert json.loads(said.partition("\n")[2])["current"] == "prod"
    contexts_file().chmod(0o644)
    assert main(["slices"]) == 1
    assert "chmod 600" in capsys.readouterr().err


def test_the_first_context_is_used_until_another_is_chosen(capsys: Capture) -> None:
    for name in ("one", "two"):
        assert main(["context", "add", name, "--api", f"{name}:1", "--offline"]) == 0
    assert located().addresses == ("one:1",)
    assert main(["context", "use", "two"]) == 0
    assert located().addresses == ("two:1",)
    assert main(["context", "use", "twoo"]) == 1
    assert "did you mean two" in capsys.readouterr().err
    assert main(["context", "remove", "two"]) == 0
    assert main(["slices"]) == 1


def test_what_is_named_nearer_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options over the environment, that over the directory, that over the context."""
    main(["context", "add", "prod", "--api", "context:1", "--offline"])
    forge = tmp_path / "forge"
    node_directory(forge / "n1", 7401, key="ae_first")
    node_directory(forge / "n2", 7411)
    assert located().addresses == ("context:1",)
    assert located("option:1", forge).key == "ae_first", "named together"
    monkeypatch.chdir(forge / "n1")
    assert located("option:1").key == "", "another cluster's must not be told this one's key"
    assert located("http://127.0.0.1:7401").key == "ae_first"
    assert located().addresses == ("127.0.0.1:7401",)
    assert located().key == "ae_first"
    monkeypatch.setenv("AETHER_API", "environment:1")
    assert (located().addresses, located().key) == (("environment:1",), "")
    assert located(data=forge).addresses == ("127.0.0.1:7401", "127.0.0.1:7411")
    assert located(data=forge).key == "ae_first"
    assert located(context="prod").addresses == ("context:1",)
    assert located("option:1", forge).addresses == ("option:1",)
    monkeypatch.setenv("AETHER_KEY", "ae_environment")
    assert located(data=forge).key == "ae_environment"


# completion


def test_words_are_completed_from_the_catalogue() -> None:
    assert list(candidates(["sl"])) == ["slice"]
    assert "set-bounds" in candidates(["slice", "set"])
    assert "scale" in candidates(["slices", ""])
    assert {"start", "cordon"} <= candidates(["node", ""]).keys()
    assert "--dry-run" in candidates(["slice", "scale", "--d"])
    assert "slice.scale" in candidates(["gate", "explain", "slice.s"])
    assert list(candidates(["completion", ""])) == ["bash", "zsh", "fish"]
    assert "rejected" in candidates(["proposal", "list", "--state", "r"])
    assert list(candidates(["proposal", "list", "--state=rej"])) == ["--state=rejected"]
    assert candidates(["unheard", ""]) == {}


def test_names_are_those_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: Asked) -> Reply:
        lists: dict[str, object] = {
            "/v1/slices": {"slices": [{"slice": "orders"}, {"slice": "pricing"}]},
            "/v1/artifacts": {"artifacts": [{"name": "shop", "version": "1.0.0"}]},
            "/v1/nodes": {"nodes": [{"node": "n1"}]},
            "/v1/proposals": {
                "items": [{"id": "p1", "state": "pending", "summary": "more"}, {"id": "p2", "state": "applied"}]
            },
        }
        return Reply(lists[asked.path])

    with closed_port() as gone, StubApi(answer=answer).serving() as api:
        monkeypatch.setenv("AETHER_API", f"{gone},{api.address}")
        assert list(candidates(["slice", "scale", "or"])) == ["orders"]
        assert candidates(["slice", "scale", "orders", ""]) == {}
        assert list(candidates(["node", "cordon", ""])) == ["n1"]
        assert list(candidates(["artifact", "delete", "s"])) == ["shop==1.0.0"]
        assert candidates(["approve", ""]) == {"p1": "more"}
        assert list(candidates(["why", ""])) == ["p1", "p2"]
        monkeypatch.delenv("AETHER_API")
        assert list(candidates(["node", "cordon", "--api", api.address, ""])) == ["n1"]


def completed(*words: str) -> tuple[str, str]:
    """What it says and what it complains of. Without its limit it would wait longer than this does."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent_api.cli.main", "__complete", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout, done.stderr


def test_completion_leaves_no_alarm_behind(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interpreter that ends takes its handlers back: the alarm would kill it."""
    monkeypatch.setenv("AETHER_API", "no address at all")
    before = signal.getsignal(signal.SIGALRM)
    try:
        assert print_candidates(["slice", "scale", ""]) == 0
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_completion_never_hangs_and_says_nothing_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer must not keep a person from typing on."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host, port = silent.getsockname()
        monkeypatch.setenv("AETHER_API", ",".join([f"{host}:{port}"] * 60))
        assert completed("slice", "scale", "") == ("", "")
    monkeypatch.setenv("AETHER_API", "no address at all")
    assert completed("slice", "scale", "") == ("", "")


@pytest.mark.slow
def test_bash_completes_with_the_printed_script(tmp_path: Path) -> None:
    aether = tmp_path / "aether"
    aether.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m agent_api.cli.main "$@"\n')
    aether.chmod(0o755)
    # the second line as bash itself cuts it: at =, and only what stands behind is put in
    script = """
        source <(aether completion bash)
        COMP_WORDS=(aether slice sc); COMP_CWORD=2; COMP_LINE='aether slice sc'; COMP_POINT=15; _aether
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(aether proposal list --state = rej); COMP_CWORD=5; COMP_LINE='aether proposal list --state=rej'
        COMP_POINT=32; _aether; echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["scale", "rejected"], done.stderr


# the shell


def test_a_line_goes_on_until_its_quotation_is_closed() -> None:
    assert is_finished('slice scale orders 5 --reason "at nine"')
    assert not is_finished('slice scale orders 5 --reason "at')
    assert not is_finished("slice scale orders 5 \\")
    assert words_of("aether slice scale \\\n orders 5  # more") == ["slice", "scale", "orders", "5"]


def test_the_shell_runs_commands_from_its_input(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    lines = "# a comment\nhelp node\nslise list\ncontext list\nslice scale --reason 'a\nb'\nexit\nunheard\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["shell"]) == 2
    said = capsys.readouterr()
    assert "cordon" in said.out
    assert "no contexts" in said.out
    assert "did you mean" in said.err
    assert "unheard" not in said.err


def test_the_shell_completes_as_one_types(monkeypatch: pytest.MonkeyPatch) -> None:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from agent_api.cli.shell_input import Completion

    found = list(Completion().get_completions(Document("slice sca"), CompleteEvent()))
    assert [(each.text, each.start_position) for each in found] == [("scale", -3)]
    assert list(Completion().get_completions(Document('slice "sca'), CompleteEvent())) == []


def test_enter_goes_on_in_an_unfinished_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    from agent_api.cli.shell_input import bindings

    with create_pipe_input() as typed:
        typed.send_text('slice scale "a\nb" 5\n')
        session: PromptSession[str] = PromptSession(
            input=typed, output=DummyOutput(), multiline=True, key_bindings=bindings(is_finished)
        )
        assert session.prompt() == 'slice scale "a\nb" 5'


# the reference


def test_the_reference_and_the_clients_types_are_as_the_source_says() -> None:
    """Stale: write them anew with `aether docs`."""
    assert [str(path.name) for path, text in pages().items() if not path.exists() or path.read_text() != text] == []


def test_commands_start_light() -> None:
    """Each of these takes longer to load than all that a command needs, on every Tab."""
    probe = "import sys, agent_api.cli.main, agent_api.cli.query, agent_api.cli.change; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "anyio", "rich", "prompt_toolkit", "fastapi", "cryptography", "importlib.resources", "grpc"}
    assert not heavy & set(done.stdout.split())
