"""For tests of the command line: nothing of whoever runs them, and an API that the commands find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.api_stub import Asked, Reply, StubApi


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No context, address or key of whoever runs the tests."""
    for name in ("AETHER_API", "AETHER_KEY", "AETHER_ADMIN_KEY", "AETHER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def serve(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StubApi]]:
    """Starts an API that the commands find."""
    with ExitStack() as stack:

        def start(*replies: Reply, answer: Callable[[Asked], Reply] | None = None) -> StubApi:
            api = stack.enter_context(StubApi(*replies, answer=answer).serving())
            monkeypatch.setenv("AETHER_API", api.address)
            return api

        yield start
