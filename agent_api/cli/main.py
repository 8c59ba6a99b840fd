"""The `aether` command: finds the subcommand's module, imports only that, runs it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Final, Protocol, cast

COMMANDS: Final = {
    "forge": "start a cluster in a box and deploy applications to it",
    "cluster": "begin a cluster, make join tokens",
    "node": "start, stop and inspect a node",
    "store": "inspect, back up and repair the consensus store",
    "build": "build a wheel of slices from a project",
    "new-slice": "scaffold a project with one slice and its test",
    "artifact": "upload, list and delete artifacts",
    "blueprint": "apply, validate, list and delete blueprints",
    "slice": "list slices and scale them",
    "status": "nodes, slices, instances and routes at a glance",
    "events": "what happened in the cluster",
    "bench": "measure Aether against its peers on this machine",
    "campaign": "run a long test campaign",
    "simulate": "run the store's engine on simulated time, network and disk, by seed",
}

LAUNCHER_COMMANDS: Final = {  # carried out by the launcher at the root of a checkout
    "check": "for developers: format, lint, types, imports, unit tests; under a minute",
    "test": "for developers: all tests",
}


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted, 141 nobody reads the output any more."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"aether: unknown command {words[0]!r}{_nearest(words[0])}; see ./aether --help", file=sys.stderr)
        return 2
    command = cast(Command, importlib.import_module(f"agent_api.cli.{words[0].replace('-', '_')}"))  # by convention
    parser = argparse.ArgumentParser(prog=f"aether {words[0]}", description=COMMANDS[words[0]])
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args(words[1:]))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at its end
        return 141


def _overview() -> str:
    rows = "\n".join(f"  {name:<10} {text}" for name, text in {**COMMANDS, **LAUNCHER_COMMANDS}.items())
    return f"usage: aether COMMAND …\n\n{rows}\n\n`aether COMMAND --help` tells more."


def _nearest(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


if __name__ == "__main__":
    sys.exit(main())
