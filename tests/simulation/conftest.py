"""Simulations run by seed: the run's own, or the one named."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def seed() -> int:
    """AETHER_TEST_SEED, as the runner prints it; 1 without."""
    return int(os.environ.get("AETHER_TEST_SEED", "1"))
