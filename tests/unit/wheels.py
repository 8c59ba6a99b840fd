"""Small wheels and projects for the artifact tests, made in memory so that no backend and no network is needed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from infra.artifacts.wheel import record_hash

SLICE_CODE = '''
"""A slice that answers."""

from __future__ import annotations

from runtime.sdk import get, slice_


@slice_(name="hello", version="1.0.0")
class Hello:
    """Greets."""

    @get("/hello/{name}")
    async def greet(self, name: str) -> str:
        return f"hello {name}"
'''


def write_wheel(
    directory: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    requires: tuple[str, ...] = (),
    entries: str = "",
    record: Mapping[str, str] | None = None,
) -> Path:
    """A wheel of these files. `record` replaces single lines of RECORD by others; an empty one drops the line."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    bodies = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entries:
        bodies[f"{info}/entry_points.txt"] = f"[aether.slices]\n{entries}\n"
    rows = {
        path: f"{path},sha256={record_hash(hashlib.sha256(body.encode()).digest())},{len(body)}"
        for path, body in bodies.items()
    }
    rows[f"{info}/RECORD"] = f"{info}/RECORD,,"
    rows.update(record or {})
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, body in bodies.items():
            archive.writestr(inner, body)
        archive.writestr(f"{info}/RECORD", "".join(f"{row}\n" for row in rows.values() if row))
    return path


def write_project(
    directory: Path,
    *,
    name: str = "hello-project",
    version: str = "1.0.0",
    package: str = "hello_pkg",
    code: str = SLICE_CODE,
    dependencies: tuple[str, ...] = (),
    entries: Mapping[str, str] | None = None,
) -> Path:
    """A project that hatchling builds; one slice unless told otherwise."""
    listed = ", ".join(f'"{dependency}"' for dependency in dependencies)
    text = f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
dependencies = [{listed}]

[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]
"""
    wanted = {"hello": f"{package}.service:Hello"} if entries is None else entries
    if wanted:
        text += '\n[project.entry-points."aether.slices"]\n'
        text += "".join(f'{key} = "{value}"\n' for key, value in wanted.items())
    source = directory / "src" / package
    source.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(text)
    (source / "__init__.py").write_text("")
    (source / "service.py").write_text(code)
    return directory
