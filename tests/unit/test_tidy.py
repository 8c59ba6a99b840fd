"""House rules that no linter knows: sizes, banned calls, dead modules, documents that point somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
LAYERS: Final = ("runtime", "infra", "controllers", "playbooks", "evals", "llm_layer", "agent_api")
FILE_LINES_MAX: Final = 450
FUNCTION_LINES_MAX: Final = 70

TASK_OWNERS: Final = {  # the one file per package that may start loop tasks, bounds them and cancels them
    "runtime/invocation/tasks.py",
    "runtime/gateway/tasks.py",
    "runtime/consensus/tasks.py",
    "runtime/hosting/tasks.py",
    "evals/simulation/tasks.py",
}
WALL_CLOCK_OWNERS: Final = {"runtime/clock.py"}
ENTRY_POINTS: Final = ("agent_api.cli.", "agent_api.assemble.", "runtime.cluster.supervisor")
PUBLIC: Final = ("runtime.sdk",)  # imported by slice authors, not by us
FAKES: Final = (".memory",)  # engines for tests, ours and slice authors'; each passes its real one's contract tests


@cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the product, by its path from the root."""
    files = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in sources()}
    assert not {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX}


@cache
def calls() -> list[tuple[str, int, str]]:
    """Every call of the product: its file, its line and what is called."""
    return [
        (name, node.lineno, ast.unparse(node.func))
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


@pytest.mark.parametrize(
    ("banned", "owners"),
    [
        (r"(.*\.)?(create_task|ensure_future)", TASK_OWNERS),
        (r"time\.time(_ns)?", WALL_CLOCK_OWNERS),
        (r"pickle\.(loads?|dumps?)", set()),
        (r"os\.system|eval|exec", set()),
    ],
)
def test_banned_calls_stand_only_with_their_owners(banned: str, owners: set[str]) -> None:
    """A task nobody owns outlives its reason; a clock read in the core cannot be simulated."""
    found = [
        f"{name}:{line} {call}" for name, line, call in calls() if name not in owners and re.fullmatch(banned, call)
    ]
    assert not found


def test_no_file_is_named_for_a_lack_of_a_noun() -> None:
    assert not [name for name in sources() if Path(name).stem in ("utils", "helpers", "common", "misc")]


def imported_modules() -> set[str]:
    found: set[str] = set()
    for name, tree in sources().items():
        package = Path(name).parent.as_posix().replace("/", ".")
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = node.module or package
                found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def test_every_module_is_used_by_another_or_is_an_entry_point() -> None:
    """Code that nothing reaches is code that nobody keeps right."""
    used = imported_modules()
    modules = {name[:-3].replace("/", ".") for name in sources() if not name.endswith("__init__.py")}
    named = {module for module in modules if (ROOT / "pyproject.toml").read_text().count(module)}
    strings = "\n".join(ast.unparse(tree) for tree in sources().values())
    dead = {
        module
        for module in modules - used - named
        if not module.startswith((*ENTRY_POINTS, *PUBLIC))
        and not module.endswith(FAKES)
        and module.rpartition(".")[2] not in strings
    }
    assert not dead


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if name.endswith(suffixes) and (ROOT / name).exists()]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in tracked(".md")
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_decision_records_have_numbers_of_their_own_and_are_listed_in_the_map() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    listing = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert not [record.name for record in records if record.name not in listing]


def test_no_merge_was_left_half_done() -> None:
    mark = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    files = tracked(".py", ".md", ".toml", ".txt", ".sh", ".js", ".json", "aether")
    assert [str(path.relative_to(ROOT)) for path in files if mark.search(path.read_text())] == []


def test_nothing_names_a_machine_or_a_download_address() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|farm|root)/|--index-url\s+http|resolved\"?:\s*\"http")
    files = tracked(".py", ".md", ".toml", ".txt", ".sh", ".js", "aether")
    found = [str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text())]
    assert [name for name in found if name != "tests/unit/test_tidy.py"] == []
