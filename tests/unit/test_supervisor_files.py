"""What a supervisor and its children write for years has a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cluster import child


def test_what_has_become_too_large_begins_anew_for_whoever_holds_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "OUTPUT_BYTES_MAX", 100)
    large, small = tmp_path / "gateway.out", tmp_path / "supervisor.log"
    small.write_text("x" * 100)
    with large.open("a", buffering=1) as writer:
        writer.write("x" * 100 + "\n")
        child.cut_outputs([large, small])
        writer.write("next\n")
    assert large.read_text() == "next\n"
    assert (tmp_path / "gateway.out.1").read_text() == "x" * 100 + "\n"
    assert {path.name for path in tmp_path.iterdir()} == {"gateway.out", "gateway.out.1", "supervisor.log"}
