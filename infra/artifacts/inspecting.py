"""Imports an artifact's slices in a process of its own and prints what they promise, as one line of JSON.

Run as `python -P -m infra.artifacts.inspecting CODE PACKAGES ENTRY…`. Whatever the code does at import, it does not do
to the process that builds.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import msgspec

from runtime.sdk.bundle import read_entries
from runtime.sdk.contract import SliceContract
from runtime.sdk.errors import SliceInvalid


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts and the third-party modules that were loaded, or a problem with its place."""

    slices: tuple[SliceContract, ...] = ()
    preload: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""
    file: str = ""
    line: int = 0


def inspect_entries(code: str, packages: str, entries: list[str]) -> Inspection:
    sys.path[:0] = [path for path in (code, packages) if path]
    try:
        readings = read_entries(entries)
    except SliceInvalid as error:
        return Inspection(problem=error.problem_text, remedy=error.remedy_text, file=error.file, line=error.line)
    except Exception as error:  # outermost frame: whatever the slice's module raises is the answer
        file, line = _place(error, code)
        return Inspection(
            problem=f"importing it failed: {type(error).__name__}: {error}",
            remedy=_import_remedy(error),
            file=file,
            line=line,
        )
    return Inspection(slices=tuple(reading.contract for reading in readings), preload=_third_party(packages))


def _place(error: BaseException, code: str) -> tuple[str, int]:
    """The innermost frame in the artifact's own files."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(code)]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)


def _import_remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"add {error.name!r} to the project's dependencies in pyproject.toml, or correct the import"
    return "make the module importable without side effects; do what must be done in start()"


def _third_party(packages: str) -> tuple[str, ...]:
    """Top-level modules that came from the dependency set."""
    if not packages:
        return ()
    root = Path(packages)
    loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
    return tuple(sorted(name for name in loaded if (root / name).is_dir() or (root / f"{name}.py").is_file()))


def main(arguments: list[str]) -> int:
    answer_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the code prints must not mix with the answer
    code, packages, *entries = arguments
    answer_to.write(msgspec.json.encode(inspect_entries(code, packages, entries)) + b"\n")
    answer_to.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
