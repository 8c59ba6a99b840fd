"""From a project's directory to an artifact: wheel, dependencies, contracts, checks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from infra.artifacts.assembling import assemble
from infra.artifacts.environment import install
from infra.artifacts.errors import BuildFailed
from infra.artifacts.inspecting import Inspection
from infra.artifacts.manifest import Manifest, python_version
from infra.artifacts.pins import bundle, resolve, wanted
from infra.artifacts.unpacking import unpack
from infra.artifacts.wheel import WheelContents, inspect_wheel, read_wheel
from runtime.names import Sha256
from runtime.sdk.bundle import ENTRY_POINT_GROUP
from runtime.sdk.contract import SliceContract

INSPECT_TIMEOUT_S: Final = 60.0
OUR_BACKEND: Final = "hatchling"
_NO_SLICES: Final = f'Add to pyproject.toml: [project.entry-points."{ENTRY_POINT_GROUP}"] with NAME = "module:Class".'


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltArtifact:
    path: Path
    name: str
    version: str
    sha256: Sha256
    slices: tuple[SliceContract, ...]
    pins: tuple[str, ...]


def build(project: Path, output: Path, *, with_deps: bool = False, find_links: tuple[str, ...] = ()) -> BuiltArtifact:
    """Builds the project into `output`. Raises BuildFailed, WheelInvalid, PinsClash or EnvironmentFailed."""
    _check_project(project)
    with tempfile.TemporaryDirectory(prefix="aether-build-") as temporary:
        work = Path(temporary)
        plain = _plain_wheel(project, work)
        contents = inspect_wheel(plain)
        if not contents.entries:
            raise BuildFailed(f"{project} has no entry point in the group {ENTRY_POINT_GROUP}", _NO_SLICES)
        pins = resolve(wanted(contents.requires), work=work, find_links=find_links)
        packages = ""
        if pins:
            target = work / "packages"
            target.mkdir()
            install(pins, target, find_links=find_links, offline=False)
            packages = str(target)
        inspection = _inspect(plain, packages, contents, project, work)
        wheels = work / "bundled"
        wheels.mkdir()
        bundled = bundle(pins, wheels, work=work, find_links=find_links) if with_deps else ()
        manifest = Manifest(
            slices=inspection.slices,
            pins=pins,
            bundled=tuple(wheel.name for wheel in bundled),
            preload=inspection.preload,
            python=python_version() if pins else "",
        )
        output.mkdir(parents=True, exist_ok=True)
        target_path = output / plain.name
        assemble(plain, target_path, contents, manifest, bundled)
    read_wheel(target_path)
    digest = hashlib.sha256(target_path.read_bytes()).hexdigest()
    return BuiltArtifact(
        path=target_path,
        name=contents.name,
        version=contents.version,
        sha256=Sha256(digest),
        slices=manifest.slices,
        pins=pins,
    )


def _check_project(project: Path) -> None:
    if not (project / "pyproject.toml").is_file():
        raise BuildFailed(
            f"{project} has no pyproject.toml", "Name the project's directory, or begin one: aether new-slice NAME."
        )


def _plain_wheel(project: Path, work: Path) -> Path:
    """What the project's own build backend makes. Ours is used as it is; another is fetched by `build`."""
    from build import BuildBackendException, BuildException, ProjectBuilder
    from build.env import DefaultIsolatedEnv
    from pyproject_hooks import quiet_subprocess_runner

    try:
        backend = tomllib.loads((project / "pyproject.toml").read_text()).get("build-system", {})
        if str(backend.get("build-backend", "")).startswith(OUR_BACKEND):
            builder = ProjectBuilder(project, runner=quiet_subprocess_runner)
            return Path(builder.build("wheel", work / "plain"))
        with DefaultIsolatedEnv() as environment:
            builder = ProjectBuilder.from_isolated_env(environment, project, runner=quiet_subprocess_runner)
            environment.install(builder.build_system_requires)
            environment.install(builder.get_requires_for_build("wheel"))
            return Path(builder.build("wheel", work / "plain"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildFailed(f"{project / 'pyproject.toml'} cannot be read: {error}", "Correct the file.") from error
    except (BuildException, BuildBackendException, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"the wheel could not be made: {_cause(error)}", "Try it alone: python -m build.") from error


def _cause(error: Exception) -> str:
    """The last line that the backend printed, which for Python is the exception."""
    inner = getattr(error, "exception", error)
    output = getattr(inner, "output", b"") or b""
    lines = (output if isinstance(output, bytes) else str(output).encode()).decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else str(error)


def _inspect(plain: Path, packages: str, contents: WheelContents, project: Path, work: Path) -> Inspection:
    code = work / "code"
    unpack(plain, code)
    words = [sys.executable, "-P", "-m", "infra.artifacts.inspecting", str(code), packages, *contents.entries]
    try:
        done = subprocess.run(words, capture_output=True, timeout=INSPECT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BuildFailed(
            f"importing the slices took more than {INSPECT_TIMEOUT_S:g} s", "Do slow work in start(), not at import."
        ) from None
    if done.returncode != 0 or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise BuildFailed(f"importing the slices ended the process: {last[0]}", "Do not exit or crash at import.")
    inspection = msgspec.json.decode(done.stdout, type=Inspection)
    if inspection.problem:
        place = f"{_source_of(inspection.file, code, project)}:{inspection.line}: " if inspection.file else ""
        raise BuildFailed(f"{place}{inspection.problem}", f"{inspection.remedy[:1].upper()}{inspection.remedy[1:]}.")
    return inspection


def _source_of(file: str, code: Path, project: Path) -> str:
    """The project's own file behind one of the unpacked wheel, if it is there."""
    path = Path(file)
    if not path.is_relative_to(code):
        return file
    inside = path.relative_to(code)
    for candidate in (project / inside, project / "src" / inside):
        if candidate.is_file():
            return str(candidate)
    return str(inside)
