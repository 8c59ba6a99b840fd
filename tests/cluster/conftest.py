"""One Forge for a whole module: starting a cluster takes longer than most tests of it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def examples() -> dict[str, Path]:
    return {name: ROOT / "examples" / name for name in ("url_shortener", "order_domain")}
