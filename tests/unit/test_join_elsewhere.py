"""Where the node that signs certificates hangs: who joins hears of it, or goes on to another one that may sign."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent_api.cli import node_join
from agent_api.cli.node_join import NobodyAdmits, admitted_by
from agent_api.client.exchange import AWAKE
from evals.forge.errors import NoSigner
from evals.forge.forge import Forge
from runtime.security.errors import JoinRefused
from tests.unit.api_stub import Reply, StubApi, problem

ADMITTED = Reply({"certificate": "yes"})


@contextmanager
def hanging() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_api.client.exchange.AWAKE", replace(AWAKE, timeout_s=0.05))
    monkeypatch.setattr(node_join, "ANSWERS_S", 0.05)


def test_a_node_that_hangs_is_told_and_not_waited_for() -> None:
    with hanging() as stopped, pytest.raises(NobodyAdmits) as raised:
        admitted_by([stopped], b"{}")
    assert "tls/ca.key" in raised.value.remedy


def test_the_next_one_admits_where_one_hangs() -> None:
    with hanging() as stopped, StubApi(ADMITTED).serving() as api:
        assert admitted_by([stopped, api.address], b"{}") == b'{"certificate": "yes"}'


def test_the_next_one_admits_where_one_has_no_key() -> None:
    with StubApi(problem("no_authority", status=403)).serving() as keyless, StubApi(ADMITTED).serving() as api:
        assert admitted_by([keyless.address, api.address], b"{}") == b'{"certificate": "yes"}'
        assert len(keyless.asked) == 1


def test_where_nobody_has_the_key_that_is_said() -> None:
    with StubApi(problem("no_authority", status=403, detail="it holds no key")).serving() as one:  # noqa: SIM117
        with StubApi(problem("no_authority", status=403, detail="it holds no key")).serving() as other:
            with pytest.raises(JoinRefused, match="holds no key"):
                admitted_by([one.address, other.address], b"{}")


@dataclass
class Node:
    name: str
    data: Path
    running: bool = True
    paused: bool = False


def test_a_forge_makes_nodes_through_one_that_may_sign_and_answers(tmp_path: Path) -> None:
    """Asked of one that hangs, a new node waited half a minute, and nobody knew why."""
    forge = Forge(nodes=1)
    nodes = {name: Node(name, tmp_path / name) for name in ("n1", "n2", "n3")}
    forge.nodes = nodes  # type: ignore[assignment]  # what is asked of them
    for name in ("n1", "n2"):
        (tmp_path / name / "tls").mkdir(parents=True)
        (tmp_path / name / "tls" / "ca.key").write_text("")
    nodes["n1"].paused = True
    assert forge._signer().name == "n2"
    nodes["n2"].running = False
    with pytest.raises(NoSigner, match="n1, n2"):
        forge._signer()
