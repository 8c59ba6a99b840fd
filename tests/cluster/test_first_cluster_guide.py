"""The guide to a first cluster, executed as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guide_script import ended_nodes, run_guide


@pytest.mark.slow
def test_every_command_of_the_guide_does_what_the_page_says(tmp_path: Path) -> None:
    """A newcomer's first hour: whatever fails here fails for everybody who follows the page."""
    with ended_nodes(tmp_path):
        said = run_guide("first-cluster.md", tmp_path)
    assert said.count("Hello, you!") >= 2
    assert "node n3 stopped" in said
