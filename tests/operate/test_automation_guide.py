"""The guide to automation by HTTP, executed as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guide_script import ended_nodes, run_guide


@pytest.mark.slow
def test_every_request_of_the_guide_does_what_the_page_says(tmp_path: Path) -> None:
    """Whoever writes a pipeline begins here: from an upload over two people's votes to a roll-back."""
    with ended_nodes(tmp_path):
        said = run_guide("automation.md", tmp_path)
    assert "Hello, you!" in said
    assert "node n1 stopped" in said
