"""One environment for each dependency set: a directory of packages, installed by pip from exact pins with hashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from anyio import to_thread

from infra.artifacts.errors import EnvironmentFailed
from infra.artifacts.manifest import BUNDLE_DIRECTORY, dependency_set, reserved
from infra.artifacts.unpacking import beside_of, clear_unfinished, compile_directory, replace_directory

INSTALL_TIMEOUT_S: Final = 600.0  # a set with PyTorch over a slow line
PIP: Final = (sys.executable, "-P", "-m", "pip")
PIP_OPTIONS: Final = ("--no-input", "--disable-pip-version-check", "--only-binary", ":all:")

CONFLICT: Final = "The conflict is caused by:"  # pip's words, on its standard output and not among its errors
CONSTRAINT: Final = "The user requested (constraint)"
REASON_CHARACTERS_MAX: Final = 500


class Environments:
    """Keeps the environments below one directory; makes each once."""

    def __init__(self, root: Path, *, find_links: tuple[str, ...] = ()) -> None:
        self._root = root
        self._find_links = find_links

    def open(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        clear_unfinished(self._root)

    def path(self, pins: tuple[str, ...]) -> Path:
        return self._root / dependency_set(pins)

    async def ensure(self, pins: tuple[str, ...], bundle: Path | None) -> Path:
        """The directory for `sys.path`. Raises EnvironmentFailed with pip's reason.

        bundle: an unpacked wheel whose dist-info carries the pinned wheels; then no index is asked.
        """
        target = self.path(pins)
        if not target.exists():
            await to_thread.run_sync(self._make, pins, bundle, target, abandon_on_cancel=False)
        return target

    def _make(self, pins: tuple[str, ...], bundle: Path | None, target: Path) -> None:
        beside = beside_of(target)
        try:
            links = bundled_links(bundle) if bundle is not None else self._find_links
            install(pins, beside, find_links=links, offline=bundle is not None)
            compile_directory(beside)
            replace_directory(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def bundled_links(unpacked: Path) -> tuple[str, ...]:
    """Where the wheels of `--with-deps` are, if there are any."""
    return tuple(str(path) for path in unpacked.glob(f"*.dist-info/{BUNDLE_DIRECTORY}"))


def install(pins: tuple[str, ...], target: Path, *, find_links: tuple[str, ...], offline: bool) -> None:
    """Installs exactly the pins into a directory. Raises EnvironmentFailed."""
    requirements = target.parent / f"{target.name}.txt"
    requirements.write_text("\n".join(pins) + "\n")
    words = [*PIP, "install", *PIP_OPTIONS, "--no-deps", "--require-hashes", "--no-compile"]
    words += ["--target", str(target), "--requirement", str(requirements)]
    words += ["--no-index"] if offline else []
    for link in find_links:
        words += ["--find-links", link]
    try:
        run_pip(words)
    finally:
        requirements.unlink(missing_ok=True)
    for path in target.iterdir():
        if why := reserved(path.name.partition(".")[0]):
            raise EnvironmentFailed(
                f"a dependency owns the top-level name {path.name!r}, and {why}", "Use another package for it."
            )


def run_pip(words: list[str]) -> str:
    """Its output. Raises EnvironmentFailed with the reason that pip gives."""
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(
            f"pip did not finish within {INSTALL_TIMEOUT_S:g} s", "Check the package index, or build --with-deps."
        ) from None
    if done.returncode != 0:
        raise EnvironmentFailed(
            f"pip could not install the dependencies: {_reason(done.stdout, done.stderr)}",
            "Check the package index that pip is configured for, or bundle the wheels: aether build PATH --with-deps.",
        )
    return done.stdout


def _reason(stdout: str, stderr: str) -> str:
    """Which demands conflict, ours first, if that is why; else pip's last error."""
    _, _, conflict = stdout.partition(CONFLICT)
    demands = [line.strip() for line in conflict.lstrip("\n").partition("\n\n")[0].splitlines()]
    if demands:
        return "; ".join(sorted(demands, key=lambda line: CONSTRAINT not in line))[:REASON_CHARACTERS_MAX]
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it gave none"])[-1][:REASON_CHARACTERS_MAX]
