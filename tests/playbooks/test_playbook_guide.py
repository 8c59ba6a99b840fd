"""The guide to writing a playbook, executed as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guide_script import ended_nodes, run_guide


@pytest.mark.slow
def test_every_command_of_the_guide_does_what_the_page_says(tmp_path: Path) -> None:
    """From a file to a run, one that fails and is undone, and a rehearsal that is kept as a proof."""
    with ended_nodes(tmp_path):
        said = run_guide("write-a-playbook.md", tmp_path)
    assert "did you mean log-level.set" in said
    assert "2 of 2" in said
    assert "talkative 1.0.0 succeeded" in said
    assert "talkative 1.1.0 compensated" in said
    assert "nothing is to be done here" in said
    assert "passed" in said
