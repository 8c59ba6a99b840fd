"""`aether new-slice NAME`: a project with one slice, its blueprint and its test."""

from __future__ import annotations

import argparse
import keyword
import os
import sys
from pathlib import Path
from string import Template
from typing import Final

from agent_api.cli.failure import report
from agent_api.cli.table import show_json
from runtime.errors import RuntimeFault
from runtime.names import NAME_LENGTH_MAX, is_name

OWN_NAMES: Final = frozenset(
    ("runtime", "infra", "controllers", "playbooks", "evals", "llm_layer", "agent_api", "msgspec", "uvloop")
)

_PYPROJECT: Final = Template("""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "1.0.0"
requires-python = ">=3.11"
dependencies = []

[project.entry-points."aether.slices"]
$name = "$module.service:${class_name}Slice"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]

[tool.pytest.ini_options]
pythonpath = ["src"]
""")

_SERVICE: Final = Template('''\
"""The $name slice."""

from __future__ import annotations

import msgspec

from runtime.sdk import DomainError, get, idempotent, post, raises, slice_


class Greeting(msgspec.Struct, frozen=True):
    text: str


class Visitor(msgspec.Struct, frozen=True):
    name: str


class NameMissing(DomainError):
    status = 422


@slice_(name="$name", version="1.0.0")
class ${class_name}Slice:
    """Greets visitors."""

    @idempotent
    @get("/$name/{name}")
    async def greet(self, name: str) -> Greeting:
        return Greeting(text=f"Hello, {name}!")

    @raises(NameMissing)
    @post("/$name", status=201)
    async def welcome(self, visitor: Visitor) -> Greeting:
        if not visitor.name.strip():
            raise NameMissing()
        return Greeting(text=f"Welcome, {visitor.name}!")
''')

_TEST: Final = Template('''\
"""The slice in this process, called as the cluster would call it."""

from __future__ import annotations

import asyncio

import pytest

from $module.service import ${class_name}Slice, NameMissing, Visitor
from runtime.sdk.testing import http, running


def test_a_visitor_is_greeted() -> None:
    async def scenario() -> None:
        async with running(${class_name}Slice) as slice_:
            assert (await slice_.greet("Ada")).text == "Hello, Ada!"
            answer = await http(slice_, "GET", "/$name/Ada")
            assert (answer.status, answer.json()) == (200, {"text": "Hello, Ada!"})

    asyncio.run(scenario())


def test_a_nameless_visitor_is_refused() -> None:
    async def scenario() -> None:
        async with running(${class_name}Slice) as slice_:
            with pytest.raises(NameMissing):
                await slice_.welcome(Visitor(name=" "))
            assert (await http(slice_, "POST", "/$name", json={"name": " "})).status == 422

    asyncio.run(scenario())
''')

_BLUEPRINT: Final = Template("""\
id = "$name"

[[slices]]
slice = "$name"
version = "1.0.0"
artifact = "$name==1.0.0"
instances = 2
min = 1
max = 4
""")

_README: Final = Template("""\
# $name

One Aether slice, `src/$module/service.py`.

`aether` and `pytest` are those of the checkout: CHECKOUT/aether and CHECKOUT/.venv/bin/pytest.

    pytest                                # its test, in one process, without a cluster
    aether forge --app .                  # builds it, starts a cluster, deploys it, prints URLs
    curl http://NODE/$name/Ada

On a cluster that runs already:

    aether build .                        # makes dist/$module-1.0.0-py3-none-any.whl
    aether artifact upload dist/$module-1.0.0-py3-none-any.whl
    aether blueprint apply blueprint.toml
""")


class ProjectRefused(RuntimeFault):
    """No project of that name can be made there; the sentence says what to do."""

    code = "project_refused"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the slice's name: lower-case letters, digits and inner hyphens")
    parser.add_argument("--directory", type=Path, default=Path(), help="where the project's directory is made")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 made, 1 refused."""
    name, directory = arguments.name, arguments.directory
    refusal = refuse(name, directory)
    if refusal:
        return report("new-slice", ProjectRefused(refusal))
    project = directory / name
    write_project(name, project)
    if arguments.json:
        show_json({"slice": name, "project": str(project)})
        return 0
    print(f"made {project}/ with one slice and its test\n\n{next_steps(project)}")
    return 0


def next_steps(project: Path) -> str:
    """Commands that work as they stand, wherever the checkout is."""
    environment = Path(sys.prefix)
    launcher = environment.parent / "aether"
    aether = os.path.relpath(launcher, project) if launcher.is_file() else "aether"
    pytest = os.path.relpath(environment / "bin" / "pytest", project)
    steps = ((pytest, "its test, without a cluster"), (f"{aether} forge --app .", "a cluster that serves it"))
    return "\n".join([f"  cd {project}", *(f"  {command:<28}  # {what}" for command, what in steps)])


def refuse(name: str, directory: Path) -> str:
    """Why no project can be made, with the remedy; empty if one can."""
    if not is_name(name):
        return (
            f"{name!r} cannot name a slice; use lower-case letters, digits and inner hyphens, "
            f"beginning with a letter, at most {NAME_LENGTH_MAX}, as in order-history"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in OWN_NAMES:
        return f"a module called {module!r} would hide another one; choose another name, as in my-{name}"
    if (directory / name).exists():
        return f"{directory / name} exists already; choose another name, or remove it"
    if not directory.is_dir():
        return f"{directory} is no directory; make it first"
    return ""


def write_project(name: str, project: Path) -> None:
    """Writes every file of the project; the directory must not exist."""
    module = name.replace("-", "_")
    words = {"name": name, "module": module, "class_name": "".join(part.capitalize() for part in name.split("-"))}
    files = {
        "pyproject.toml": _PYPROJECT,
        "blueprint.toml": _BLUEPRINT,
        "README.md": _README,
        f"src/{module}/__init__.py": Template(f'"""The {name} slice."""\n'),
        f"src/{module}/service.py": _SERVICE,
        f"tests/test_{module}.py": _TEST,
    }
    for path, template in files.items():
        target = project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(template.substitute(words), encoding="utf-8")
