"""The guide to commands and the Python client, executed as it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.guide_script import ended_nodes, run_guide


@pytest.mark.slow
def test_every_command_of_the_guide_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From keys over two people's votes to a roll-back; contexts of whoever runs the test stay out of it."""
    for name in [each for each in os.environ if each.startswith("AETHER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with ended_nodes(tmp_path):
        said = run_guide("commands.md", tmp_path)
    assert "would wait for 2 distinct approvers" in said
    assert "applied ['ada', 'bob']" in said
    assert said.count("hello 1.0.0: 3 -> 2 instances") >= 2
    assert "the audit is whole" in said
