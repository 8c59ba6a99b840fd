"""`aether eval` tells what is wrong with its words, and does so first."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_api.cli.main import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--days", "1"], "--days is 2 at least"),
        (["--days", "nan"], "--days is 2 at least"),
        (["--jobs", "0"], "--jobs: '0' is no whole number from 1 on"),
        (["--share-nodes", "-1"], "--share-nodes: '-1' is no whole number from 1 on"),
        (["--html", "/nowhere/report.html"], "--html: /nowhere/report.html cannot be written"),
    ],
)
def test_wrong_words_are_told_one_by_one_before_anything_is_simulated(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that cannot be written must not be found out after an hour of simulation."""
    try:
        code: object = main(["eval", "scaling", "--traces", str(tmp_path), *words])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert told in capsys.readouterr().err
