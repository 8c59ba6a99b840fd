"""Every example of the guide on slices runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_api.cli import new_slice

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "slices.md"


def run_pytest(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without the plugins that our own tests bring along: what is shown needs none, and they take a second."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    spared = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=directory, env=spared, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_guides_examples_pass_their_own_tests(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# file: (\S+)\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert {name for name, _ in blocks} == {"stock.py", "pages.py", "orders.py", "test_orders.py"}
    assert GUIDE.read_text().count("```python") == len(blocks)
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    (tmp_path / "test_pages.py").write_text(PAGES_TEST)
    done = run_pytest(tmp_path, "--rootdir", str(tmp_path), "-o", "pythonpath=.")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


PAGES_TEST = """
import asyncio
from pages import Pages
from runtime.sdk.testing import http, running

def test_pages() -> None:
    async def scenario() -> None:
        async with running(Pages) as pages:
            answer = await http(pages, "GET", "/pages/2?page-size=5&tags=a&tags=b", headers={"X-Tenant": "t"})
            assert answer.json() == {"page": "2/5", "tags": "a+b", "tenant": "t"}
            moved = await http(pages, "GET", "/go/x")
            assert (moved.status, moved.headers["location"]) == (302, "https://example.org/x")
            assert "5 s left" in (await http(pages, "GET", "/whoami")).json()

    asyncio.run(scenario())
"""


@pytest.mark.slow
def test_a_scaffolded_project_passes_its_own_test(tmp_path: Path) -> None:
    new_slice.write_project("order-history", tmp_path / "order-history")
    done = run_pytest(tmp_path / "order-history")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_readme_shows_what_the_scaffold_makes(tmp_path: Path) -> None:
    new_slice.write_project("greeting", tmp_path / "greeting")
    made = (tmp_path / "greeting" / "src" / "greeting" / "service.py").read_text().splitlines()
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [line for line in shown.splitlines() if line not in made] == []


def test_the_next_steps_name_commands_that_are_there(tmp_path: Path) -> None:
    enter, *commands = new_slice.next_steps(tmp_path).splitlines()
    assert enter.split() == ["cd", str(tmp_path)]
    assert [(tmp_path / command.split()[0]).is_file() for command in commands] == [True, True]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Order", "cannot name a slice"),
        ("order_history", "cannot name a slice"),
        ("../order", "cannot name a slice"),
        ("", "cannot name a slice"),
        ("class", "would hide another one"),
        ("json", "would hide another one"),
        ("runtime", "would hide another one"),
        ("taken", "exists already"),
    ],
)
def test_bad_names_and_existing_directories_are_refused(tmp_path: Path, name: str, part: str) -> None:
    (tmp_path / "taken").mkdir()
    assert part in new_slice.refuse(name, tmp_path)
    assert "is no directory" in new_slice.refuse("fine", tmp_path / "nowhere")
    assert new_slice.refuse("fine", tmp_path) == ""
