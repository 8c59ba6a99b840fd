"""`./aether check` and `./aether test`: what developers and CI run, and nothing else runs.

check: format, lint, types, import arrow, unit tests; under a minute.
test:  every test, in groups that each have a share of fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = ROOT / ".venv" / "bin"

GROUPS: Final = {  # group: (test paths, minutes it may take on two cores)
    "unit": (("tests/unit", "examples"), 1),
    "serve": (("tests/cluster",), 3),
    "operate": (("tests/operate",), 2),
    "control": (("tests/control",), 1),
    "consensus": (("tests/simulation", "tests/consensus"), 4),
}
TOOLS: Final = {
    "curl": "curl",
    "openssl": "openssl",
    "faketime": "faketime",
    "etcd": "etcd-server",
    "zsh": "zsh",
    "fish": "fish",
}  # command: Debian package

CHECKS: Final = {
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "lint": ("ruff", "check", "--quiet", "."),
    "imports": ("lint-imports", "--no-cache"),
    "types": ("mypy", "--no-error-summary"),
    "unit tests": ("pytest", "-q", "tests/unit", "examples"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="aether")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="format, lint, types, imports, unit tests; under a minute")
    test = commands.add_parser("test", help="all tests, or those of the groups named")
    test.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}")
    test.add_argument("--seed", help="seed of the rotating samples; printed by every run")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    unknown = [group for group in arguments.groups if group not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    return test_groups(arguments.groups or list(GROUPS), arguments.seed)


def check() -> int:
    """Types are checked beside the rest: they take longest."""
    begun = time.monotonic()
    types = start("types")
    failed = [name for name in CHECKS if name != "types" and finish(name, start(name)) != 0]
    if finish("types", types) != 0:
        failed.append("types")
    verdict = f"failed: {', '.join(failed)}" if failed else "all good"
    print(f"check: {verdict} ({time.monotonic() - begun:.0f} s)")
    return 1 if failed else 0


def start(name: str) -> subprocess.Popen[str]:
    tool, *rest = CHECKS[name]
    return subprocess.Popen([BIN / tool, *rest], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(name: str, child: subprocess.Popen[str]) -> int:
    output, _ = child.communicate()
    print(f"check: {name}: {'ok' if child.returncode == 0 else 'FAILED'}", flush=True)
    if child.returncode != 0 or name == "unit tests":
        print(output, flush=True)
    return child.returncode


def test_groups(groups: list[str], seed: str | None) -> int:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing and not install_tools(missing):
        packages = " ".join(TOOLS[tool] for tool in missing)
        print(f"test: {', '.join(missing)} missing; install with: apt-get install {packages}", file=sys.stderr)
        return 1
    chosen = seed or str(int(time.time()) % 100_000)
    environment = {**os.environ, "AETHER_TEST_SEED": chosen, "PYTHONHASHSEED": "0"}  # sets in the same order again
    print(f"test: seed {environment['AETHER_TEST_SEED']}", flush=True)
    failed = [group for group in groups if run_group(group, environment) != 0]
    print(f"test: {'failed: ' + ', '.join(failed) if failed else 'all groups passed'}")
    return 1 if failed else 0


def install_tools(tools: list[str]) -> bool:
    """From Debian's packages, where this user may."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    packages = [TOOLS[tool] for tool in tools]
    subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
    return subprocess.run(["apt-get", "install", "-qy", *packages], check=False).returncode == 0


def run_group(group: str, environment: dict[str, str]) -> int:
    paths, minutes = GROUPS[group]
    begun = time.monotonic()
    done = subprocess.run([BIN / "pytest", "-q", *paths], cwd=ROOT, env=environment, check=False)
    taken = time.monotonic() - begun
    print(f"test: {group}: exit {done.returncode}, {taken:.0f} s of {minutes * 60} s", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
