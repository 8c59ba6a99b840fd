"""`./aether check` and `./aether test`: what developers and CI run, and nothing else runs.

check: format, lint, types, import arrow, unit tests; one to three minutes.
test:  every test, in groups; how long each took is told beside what it should take on two cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = ROOT / ".venv" / "bin"

SPREAD: Final = ("-n", "2", "--dist", "loadfile")  # one process a core: these tests wait for nothing and start little
SHARED: Final = ("-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")  # one has the cluster, one the rest
GROUPS: Final = {  # group: (what pytest is told, minutes it may take on two cores)
    "unit": ((*SPREAD, "tests/unit", "examples"), 2),
    "serve": (("tests/cluster",), 3),
    "operate": (("tests/operate",), 2),
    "control": (("tests/control",), 2),
    "playbooks": (("tests/playbooks",), 2),
    "reason": ((*SHARED, "tests/reason"), 1),
    "console": (("tests/browser",), 2),
    "consensus": (("tests/simulation", "tests/consensus"), 4),
    "training": (("tests/training",), 2),
}
ON_DEMAND: Final = frozenset({"training"})  # only where it is named: PyTorch is some gigabytes to fetch and install
TOOLS: Final = {
    "curl": "curl",
    "openssl": "openssl",
    "faketime": "faketime",
    "etcd": "etcd-server",
    "zsh": "zsh",
    "fish": "fish",
    "node": "nodejs",
    "tsc": "node-typescript",
    "chromium": "chromium",
}  # command: Debian package

SAME_ORDER: Final = {"PYTHONHASHSEED": "0"}  # of sets, in every run and in both processes that share the tests
CHECKED_WITH: Final = ("node", "tsc")  # of these, what `check` needs too

CHECKS: Final = {
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "lint": ("ruff", "check", "--quiet", "."),
    "imports": ("lint-imports", "--no-cache"),
    "types": ("mypy", "--no-error-summary"),
    "console types": ("tsc", "-p", "agent_api/console/jsconfig.json"),
    "console functions": ("node", "--test", *map(str, sorted(ROOT.glob("tests/unit/console/*.test.js")))),
    "unit tests": ("pytest", "-q", "--hypothesis-seed=1", *SPREAD, "tests/unit", "examples"),  # the same each time
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="aether")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="format, lint, types, imports, unit tests; one to three minutes")
    test = commands.add_parser("test", help="all tests, or those of the groups named")
    test.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}")
    test.add_argument("--seed", help="seed of samples and properties; printed by every run")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    default = [group for group in GROUPS if group not in ON_DEMAND]
    unknown = [group for group in arguments.groups if group not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    return test_groups(arguments.groups or default, arguments.seed)


def check() -> int:
    """Types are checked beside the rest: they take longest."""
    begun = time.monotonic()
    if not have_tools("check", CHECKED_WITH):
        return 1
    types = start("types")
    failed = [name for name in CHECKS if name != "types" and finish(name, start(name)) != 0]
    if finish("types", types) != 0:
        failed.append("types")
    verdict = f"failed: {', '.join(failed)}" if failed else "all good"
    print(f"check: {verdict} ({time.monotonic() - begun:.0f} s)")
    return 1 if failed else 0


def start(name: str) -> subprocess.Popen[str]:
    tool, *rest = CHECKS[name]
    place = tool if tool in TOOLS else BIN / tool
    environment = {**os.environ, **SAME_ORDER}
    return subprocess.Popen(
        [place, *rest], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(name: str, child: subprocess.Popen[str]) -> int:
    output, _ = child.communicate()
    print(f"check: {name}: {'ok' if child.returncode == 0 else 'FAILED'}", flush=True)
    if child.returncode != 0 or name == "unit tests":
        print(output, flush=True)
    return child.returncode


def test_groups(groups: list[str], seed: str | None) -> int:
    if not have_tools("test", TOOLS):
        return 1
    chosen = seed or str(int(time.time()) % 100_000)
    environment = {**os.environ, **SAME_ORDER, "AETHER_TEST_SEED": chosen}
    print(f"test: seed {environment['AETHER_TEST_SEED']}", flush=True)
    failed = [group for group in groups if run_group(group, environment) != 0]
    print(f"test: {'failed: ' + ', '.join(failed) if failed else 'all groups passed'}")
    return 1 if failed else 0


def have_tools(command: str, tools: Iterable[str]) -> bool:
    """Whether all are there by now; says what is not, and how to get it."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing or install_tools(missing):
        return True
    packages = " ".join(TOOLS[tool] for tool in missing)
    print(f"{command}: {', '.join(missing)} missing; install with: apt-get install {packages}", file=sys.stderr)
    return False


def install_tools(tools: list[str]) -> bool:
    """From Debian's packages, where this user may."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    packages = [TOOLS[tool] for tool in tools]
    subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
    return subprocess.run(["apt-get", "install", "-qy", *packages], check=False).returncode == 0


def run_group(group: str, environment: dict[str, str]) -> int:
    words, minutes = GROUPS[group]
    begun = time.monotonic()
    seeded = f"--hypothesis-seed={environment['AETHER_TEST_SEED']}"
    done = subprocess.run([BIN / "pytest", "-q", seeded, *words], cwd=ROOT, env=environment, check=False)
    taken = time.monotonic() - begun
    print(f"test: {group}: exit {done.returncode}, {taken:.0f} s of {minutes * 60} s", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
