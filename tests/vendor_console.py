"""Fetches what the web console is made with, and says whether what is kept is what was fetched.

`python tests/vendor_console.py` asks the `npm` client for the packages by name and version; `--check` compares the
files with the hashes in vendor/lock.json and needs neither npm nor a network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).resolve().parents[1] / "agent_api" / "console" / "vendor"
LOCK: Final = FOLDER / "lock.json"


class Taken(NamedTuple):
    """One file of a package. `tail` is added: uPlot's small build is a script, and we load modules."""

    package: str
    version: str
    source: str
    name: str
    tail: str = ""


TAKEN: Final = (
    Taken("preact", "11.2.0", "dist/preact.mjs", "preact.js"),
    Taken("preact", "11.2.0", "hooks/dist/hooks.mjs", "preact-hooks.js"),
    Taken("preact", "11.2.0", "LICENSE", "preact.LICENSE"),
    Taken("htm", "3.1.1", "dist/htm.mjs", "htm.js"),
    Taken("htm", "3.1.1", "LICENSE", "htm.LICENSE"),
    Taken("@preact/signals", "2.11.4", "dist/signals.mjs", "signals.js"),
    Taken("@preact/signals", "2.11.4", "LICENSE", "signals.LICENSE"),
    Taken("@preact/signals-core", "1.14.5", "dist/signals-core.mjs", "signals-core.js"),
    Taken("@preact/signals-core", "1.14.5", "LICENSE", "signals-core.LICENSE"),
    Taken("uplot", "1.6.32", "dist/uPlot.iife.min.js", "uplot.js", tail="export default uPlot;\n"),
    Taken("uplot", "1.6.32", "dist/uPlot.min.css", "uplot.css"),
    Taken("uplot", "1.6.32", "LICENSE", "uplot.LICENSE"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the lock only")
    if not parser.parse_args().check:
        fetch()
    wrong = differing()
    print(f"vendor: not as locked: {', '.join(wrong)}" if wrong else "vendor: all files are as locked")
    return 1 if wrong else 0


def fetch() -> None:
    """Writes files and lock anew."""
    packages = sorted({f"{each.package}@{each.version}" for each in TAKEN})
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["npm", "install", "--prefix", place, "--ignore-scripts", "--no-audit", *packages], check=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        for each in TAKEN:
            text = (Path(place) / "node_modules" / each.package / each.source).read_text()
            (FOLDER / each.name).write_text(without_map(text) + each.tail)
    rows = {
        each.name: {"package": each.package, "version": each.version, "file": each.source, "sha256": sha256_of(each)}
        for each in TAKEN
    }
    LOCK.write_text(json.dumps(rows, indent=2) + "\n")


def without_map(text: str) -> str:
    """Source maps are not kept: a browser's tools would ask for them in vain."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("//# sourceMappingURL=")) + "\n"


def differing() -> list[str]:
    """Files that are not as locked, are missing, or that the lock does not know."""
    locked = {name: row["sha256"] for name, row in json.loads(LOCK.read_text()).items()}
    kept = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir() if path != LOCK}
    return sorted(name for name in locked.keys() | kept.keys() if locked.get(name) != kept.get(name))


def sha256_of(taken: Taken) -> str:
    return hashlib.sha256((FOLDER / taken.name).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
