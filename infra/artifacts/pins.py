"""Exact pins with hashes for a project's dependencies. Used by `aether build` alone; asks pip, installs nothing."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from infra.artifacts.environment import CONSTRAINT, PIP, PIP_OPTIONS, run_pip
from infra.artifacts.errors import EnvironmentFailed, PinsClash
from infra.artifacts.manifest import SHARED_PACKAGES

OURS: Final = "aether"  # the SDK is on every node; a dependency on it says nothing


def wanted(requires: tuple[str, ...]) -> tuple[Requirement, ...]:
    """The requirements that hold here, without those that every node has. Raises PinsClash."""
    found = []
    for line in requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise PinsClash(
                f"the dependency {line!r} cannot be read: {error}", "Correct it in pyproject.toml."
            ) from None
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name in SHARED_PACKAGES:
            _check_shared(name, requirement)
        elif name != OURS:
            found.append(requirement)
    return tuple(found)


def resolve(requirements: tuple[Requirement, ...], *, work: Path, find_links: tuple[str, ...]) -> tuple[str, ...]:
    """Lines `name==version --hash=sha256:…`, sorted. Raises PinsClash or EnvironmentFailed with pip's reason."""
    if not requirements:
        return ()
    constraints, report = work / "constraints.txt", work / "report.json"
    constraints.write_text("".join(f"{name}=={version(name)}\n" for name in SHARED_PACKAGES))
    words = [*PIP, "install", *PIP_OPTIONS, "--dry-run", "--ignore-installed", "--report", str(report)]
    words += ["--constraint", str(constraints)]
    for link in find_links:
        words += ["--find-links", link]
    try:
        run_pip([*words, *(str(requirement) for requirement in requirements)])
    except EnvironmentFailed as error:
        shared = next((name for name in SHARED_PACKAGES if f"{CONSTRAINT} {name}==" in str(error)), "")
        if shared:
            raise PinsClash(
                f"a dependency needs another {shared} than {version(shared)}, which every worker runs: {error}",
                f"Choose a version of that dependency that accepts {shared} {version(shared)}.",
            ) from error
        raise
    return _pins(json.loads(report.read_text()))


def bundle(pins: tuple[str, ...], target: Path, *, work: Path, find_links: tuple[str, ...]) -> tuple[Path, ...]:
    """Downloads exactly the pinned wheels. Raises EnvironmentFailed."""
    if not pins:
        return ()
    requirements = work / "pins.txt"
    requirements.write_text("\n".join(pins) + "\n")
    words = [*PIP, "download", *PIP_OPTIONS, "--no-deps", "--require-hashes", "--dest", str(target)]
    words += ["--requirement", str(requirements)]
    for link in find_links:
        words += ["--find-links", link]
    run_pip(words)
    return tuple(sorted(target.glob("*.whl")))


def _check_shared(name: str, requirement: Requirement) -> None:
    ours = version(name)
    if requirement.url or not requirement.specifier.contains(ours, prereleases=True):
        raise PinsClash(
            f"the project wants {requirement}, but every worker runs {name} {ours}",
            f"Loosen the requirement so that {ours} satisfies it, or drop it: the node brings {name}.",
        )


def _pins(report: dict[str, list[dict[str, dict[str, object]]]]) -> tuple[str, ...]:
    pins = []
    for item in report["install"]:
        name = canonicalize_name(str(item["metadata"]["name"]))
        if name in SHARED_PACKAGES or name == OURS:
            continue
        archive = item["download_info"].get("archive_info")
        hashes = archive.get("hashes") if isinstance(archive, dict) else None
        digest = hashes.get("sha256") if isinstance(hashes, dict) else None
        if not isinstance(digest, str):
            raise EnvironmentFailed(
                f"{name} comes from a place without hashes",
                "Depend on released wheels, not on directories or branches.",
            )
        pins.append(f"{name}=={item['metadata']['version']} --hash=sha256:{digest}")
    return tuple(sorted(pins))
