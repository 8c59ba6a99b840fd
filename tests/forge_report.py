"""What the nodes of a Forge said, added to the report of a test that failed: their directories end with the test."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from evals.forge.forge import Forge

LINES: Final = 25  # of each node, the last ones
WIDTH: Final = 240  # characters of a line
QUIET: Final = ('"level":"debug"', '"event":"api_answered"', '"event":"request_served"', '"event":"table_applied"')


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Adds a section for each cluster that the test was given."""
    report = yield
    module = sys.modules.get("evals.forge.forge")  # not imported: no test of this run has a cluster
    if report.failed and module is not None:
        for forge in [
            each
            for given in getattr(item, "funcargs", {}).values()
            if isinstance(each := getattr(given, "forge", given), module.Forge)
        ]:
            report.sections.append(("what the nodes said last", "\n".join(told(forge))))
    return report


def told(forge: Forge) -> Iterable[str]:
    """Each node's last lines in the order of their times, and what its processes printed."""
    for name, node in forge.nodes.items():
        state = "paused" if node.paused else "running" if node.running else "not running"
        yield f"-- {name}, {state}"
        files = [*sorted((node.data / "logs").glob("*.jsonl")), node.data / "logs" / "supervisor.log"]
        lines = merge(*[_lines(file) for file in files], key=_when)
        yield from [line[:WIDTH] for line in list(lines)[-LINES:]]
        for file in sorted((node.data / "logs").glob("*.out")):
            yield from [f"{file.name}: {line[:WIDTH]}" for line in _lines(file)[-LINES // 4 :]]


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except FileNotFoundError:  # cut off, or not begun
        return []
    return [line for line in lines if not any(word in line for word in QUIET)]


def _when(line: str) -> str:
    """The milliseconds that the line begins with; as long for all of them."""
    return "".join(filter(str.isdigit, line[:24]))
