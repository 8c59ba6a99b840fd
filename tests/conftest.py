"""Shared by all tests: the async backend and Hypothesis's budgets."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.forge_report import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

settings.register_profile("default", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("campaign", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("AETHER_HYPOTHESIS_PROFILE", "default"))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not walk it again and again (a tenth of the group's time)."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Everything runs on asyncio; the runtime offers no other loop."""
    return "asyncio"
