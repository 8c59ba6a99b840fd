"""Shared by the tests of alerts, workflows and playbooks on real clusters."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"
