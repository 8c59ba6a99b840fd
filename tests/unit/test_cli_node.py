"""`aether cluster` and `aether node`: what goes wrong is said in one sentence with its remedy, and leaves nothing."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_api.cli.main import main

TOKEN = "01cb13df-6b06c82d-1-" + "0" * 32 + "-" + "0" * 32


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A node's directory that nothing runs on."""
    data = tmp_path / "n1"
    assert main(["cluster", "init", str(data)]) == 0
    capsys.readouterr()
    return data


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    """What the command says when it refuses: a sentence, and below it the remedy."""
    assert main(list(words)) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 2
    return said


def test_init_prints_addresses_token_and_the_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "init", str(tmp_path / "n1"), "--name", "first"]) == 0
    said = capsys.readouterr().out
    for part in ("application HTTP", "API", "peer frames", "control", "store", "admin key", "aether node start --data"):
        assert part in said
    assert "@127.0.0.1:" in said
    assert (tmp_path / "n1" / "admin.key").stat().st_mode & 0o777 == 0o600


def test_init_takes_the_ports_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = {}
    for name in ("http", "api", "peer", "control", "store"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
    words = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    assert main(["cluster", "init", str(tmp_path / "n1"), *words]) == 0
    listen = json.loads((tmp_path / "n1" / "node.json").read_text())["listen"]
    assert {name: listen[name] for name in ports} == ports


def test_init_refuses_a_taken_port_and_leaves_nothing(
    tmp_path: Path, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "cluster", "init", str(tmp_path / "n1"), "--api", str(taken))
    assert f"127.0.0.1:{taken} (API) cannot be used" in said
    assert not (tmp_path / "n1").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--name", "Bad_Name"), "'Bad_Name' cannot be a node id"),
        (("--zone", "a b"), "'a b' cannot be a zone"),
        (("--listen", "127.0.0.1:http"), "is no address"),
        (("--listen", "no-such-host.invalid:9000"), "is not known"),
        (("--listen", "127.0.0.1:65534"), "cannot be used"),
    ],
)
def test_init_refuses_bad_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused(capsys, "cluster", "init", str(tmp_path / "n1"), *words)
    assert not (tmp_path / "n1").exists()


@pytest.mark.parametrize("words", [("cluster", "init", "d", "--api"), ("forge", "--port")])
def test_what_is_no_port_is_said_to_be_none(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    for wrong in ("-3", "0", "65536", "http"):
        with pytest.raises(SystemExit):
            main([*words, wrong])
        assert "is no port (1 to 65535)" in capsys.readouterr().err


def test_init_refuses_a_directory_in_use(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "already holds a node" in refused(capsys, "cluster", "init", str(node))
    (node / "node.json").unlink()
    assert "is not empty and holds no node" in refused(capsys, "cluster", "init", str(node))


def test_a_token_needs_the_ca_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not hold the cluster's CA key" in refused(capsys, "cluster", "token", str(tmp_path))


def test_start_refuses_a_directory_without_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "node", "start", "--data", str(tmp_path / "none"))
    assert "holds no node" in said
    assert "aether cluster init" in said


@pytest.mark.parametrize(
    ("join", "sentence"),
    [
        ("secret", "needs TOKEN@HOST:PORT"),
        ("secret@127.0.0.1:1", "no join token"),
        (f"{TOKEN}@127.0.0.1:1", "cannot be reached: Connection refused"),
        (f"{TOKEN}@127.0.0.1:x", "is no address"),
        (f"{TOKEN}@no-such-host.invalid:1", "cannot be reached"),
    ],
)
def test_a_join_that_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], join: str, sentence: str
) -> None:
    assert sentence in refused(capsys, "node", "start", "--data", str(tmp_path / "n2"), "--join", join)
    assert not (tmp_path / "n2").exists()


def test_start_refuses_what_is_damaged(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (node / "node.json").read_text()
    for damage, sentence in (("{", "is damaged"), ('{"node": 3}', "is damaged"), ("\xff", "is damaged")):
        (node / "node.json").write_text(damage, encoding="latin-1")
        assert sentence in refused(capsys, "node", "start", "--data", str(node))
    (node / "node.json").write_text(whole)
    (node / "config.toml").write_text("drain = 1")
    assert "config.toml" in refused(capsys, "node", "start", "--data", str(node))
    (node / "config.toml").unlink()
    (node / "tls" / "node.key").unlink()
    assert "node.key is missing" in refused(capsys, "node", "start", "--data", str(node))


def test_start_refuses_other_addresses_for_a_node_that_has_some(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "node", "start", "--data", str(node), "--api", "1234")
    assert "with other addresses or another name" in said


def test_start_refuses_a_lifeline_that_is_not_open(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    said = refused(capsys, "node", "start", "--data", str(node), "--lifeline-fd", str(reading))
    assert f"file descriptor {reading} is not open" in said


def test_status_and_stop_of_a_node_that_does_not_run_say_so(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "status", "--data", str(node)]) == 1
    assert "not running; start it" in capsys.readouterr().out
    assert main(["node", "status", "--data", str(node), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["running"] is False
    assert main(["node", "stop", "--data", str(node)]) == 0
    assert "is not running" in capsys.readouterr().out


def test_start_and_status_print_every_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(tmp_path / "n1")
    assert main(["cluster", "init", data, "--advertise", "peer=203.0.113.5:9000"]) == 0
    listen = json.loads((tmp_path / "n1" / "node.json").read_text())["listen"]
    expected = [f"127.0.0.1:{listen[name]}" for name in ("http", "api", "peer", "control", "store")]
    expected.append("for others 203.0.113.5:9000")
    capsys.readouterr()
    assert main(["node", "status", "--data", data]) == 1
    said = capsys.readouterr().out
    assert [part for part in expected if part not in said] == []
    monkeypatch.setattr("os.execv", lambda *_: None)
    main(["node", "start", "--data", data])
    said = capsys.readouterr().out
    assert [part for part in expected if part not in said] == []


def test_status_of_a_directory_without_a_node_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no node" in refused(capsys, "node", "status", "--data", str(tmp_path))
