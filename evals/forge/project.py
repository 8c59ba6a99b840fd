"""Small projects made on the spot: for benchmarks, campaigns and tests, whose slices are one module each."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
requires-python = ">=3.11"
dependencies = [{dependencies}]

[project.entry-points."aether.slices"]
{entries}

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceWish:
    """One slice of a project: its class, and what its blueprint says beside the usual."""

    name: str
    class_name: str
    instances: int = 1
    least: int = 1
    most: int = 8  # or as many as there are, if that is more
    extra: str = ""  # further lines of TOML


def source_of(module: str) -> str:
    """The text of a module of ours, without importing it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


def write_project(
    directory: Path,
    *,
    name: str,
    source: str,
    slices: Sequence[SliceWish],
    version: str = "1.0.0",
    dependencies: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A project with one module that holds all its slices; `files` are further ones, by path from the project."""
    module = name.replace("-", "_")
    package = directory / "src" / module
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f'"""The {name} project."""\n')
    (package / "service.py").write_text(source)
    entries = "\n".join(f'{wish.name} = "{module}.service:{wish.class_name}"' for wish in slices)
    quoted = ", ".join(f'"{dependency}"' for dependency in dependencies)
    (directory / "pyproject.toml").write_text(
        _PYPROJECT.format(name=name, version=version, dependencies=quoted, entries=entries, module=module)
    )
    (directory / "blueprint.toml").write_text(
        f'id = "{name}"\n' + "".join(_slice_table(name, version, wish) for wish in slices)
    )
    for path, text in (files or {}).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return directory


def _slice_table(name: str, version: str, wish: SliceWish) -> str:
    return (
        f'\n[[slices]]\nslice = "{wish.name}"\nversion = "{version}"\nartifact = "{name}=={version}"\n'
        f"instances = {wish.instances}\nmin = {wish.least}\nmax = {max(wish.instances, wish.most)}\n{wish.extra}\n"
    )
