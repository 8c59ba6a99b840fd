"""The `aether` command: finds what the words mean, imports only that, runs it."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from agent_api.cli.failure import FOR_PROGRAMS, report_words
from agent_api.cli.grammar import (
    COMMANDS,
    LAUNCHER_COMMANDS,
    MODULES,
    NOUNS,
    VERBS,
    is_plural,
    singular,
    verbs_of,
)
from agent_api.cli.layout import meanings_of, wide_of
from agent_api.cli.parser import Parser
from runtime.spelling import nearest

DONE, FAILED, USAGE, PROPOSED, NOT_CONVERGED = range(5)
"""Exit codes; 130 is interrupted, 141 that nobody reads the output any more."""

EXIT_CODES = {
    DONE: "done",
    FAILED: "refused or failed",
    USAGE: "wrong usage",
    PROPOSED: "proposed, and waiting for approval",
    NOT_CONVERGED: "made, but it had not taken hold when the wait was over",
    130: "interrupted",
    141: "nobody reads the output any more",
}


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: list[str] | None = None) -> int:
    """Runs a command and gives its exit code."""
    words = sys.argv[1:] if argv is None else argv
    _make_writable()
    FOR_PROGRAMS.set("--json" in words)
    try:
        code = run_words(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _write_nowhere()
        return 141
    except OSError as error:  # mostly of the output: a full disk, a terminal that is gone
        print(f"aether: {error}", file=sys.stderr)
        _write_nowhere()
        return FAILED
    return code


def _make_writable() -> None:
    """The output takes every text: what its encoding cannot say is a question mark; where it is closed, all is lost."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _write_nowhere() -> None:
    """Else Python complains again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_words(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return DONE if words else USAGE
    if words[0] == "__complete":  # what completion scripts ask
        from agent_api.cli.complete import print_candidates

        return print_candidates(words[1:])
    word = singular(words[0])
    if word in COMMANDS:
        return _run_module(word, words[1:], prog=word)
    if word in NOUNS:
        return _run_noun(word, words)
    detail = f"unknown command {words[0]!r}{nearest(words[0], (*COMMANDS, *NOUNS))}"
    report_words("aether", detail, "List them: aether --help")
    return USAGE


def _run_noun(noun: str, words: Sequence[str]) -> int:
    rest = words[1:]
    if is_plural(words[0]) and (not rest or rest[0].startswith("--")) and "--help" not in rest:
        rest = ["list", *rest]  # `aether proposals`
    if not rest or rest[0].startswith("-") or rest[0] == "help":
        print(noun_overview(noun))
        return DONE if rest and rest[0] in ("-h", "--help", "help") else USAGE
    if rest[0] in VERBS.get(noun, {}):
        return _run_module(noun, rest, prog=noun)
    from agent_api.cli.grammar import operations_of

    operation = operations_of(noun).get(rest[0])
    if operation is None:
        detail = f"unknown verb {rest[0]!r}{nearest(rest[0], verbs_of(noun))}"
        report_words(f"aether {noun}", detail, f"List them: aether {noun} --help")
        return USAGE
    from agent_api.cli.operation import run_operation

    return run_operation(operation, rest[1:])


def _run_module(name: str, words: Sequence[str], *, prog: str) -> int:
    parser, command = module_parser(name, prog)
    return command.run(parser.parse_args(words))


def module_parser(name: str, prog: str) -> tuple[argparse.ArgumentParser, Command]:
    module = MODULES.get(name, name).replace("-", "_")
    command = cast(Command, importlib.import_module(f"agent_api.cli.{module}"))  # by convention
    parser = Parser(prog=f"aether {prog}", description=COMMANDS.get(name) or NOUNS[name])
    parser.set_defaults(command=name)
    command.add_arguments(parser)
    return parser, command


def overview() -> str:
    groups = {"the cluster": NOUNS, "commands": COMMANDS, "in a checkout": LAUNCHER_COMMANDS}
    parts = [f"{title}\n{_rows(rows)}" for title, rows in groups.items()]
    codes = _rows({str(code): text for code, text in EXIT_CODES.items()})
    return (
        "usage: aether NOUN VERB …, or aether COMMAND …\n\n"
        + "\n\n".join(parts)
        + "\n\n`aether NOUN --help` lists its verbs,\n`aether NOUN VERB --help` tells more.\n\nexit codes\n"
        + codes
    )


def noun_overview(noun: str) -> str:
    return f"usage: aether {noun} VERB …\n\n{_rows(verbs_of(noun))}\n\n`aether {noun} VERB --help` tells more."


def _rows(rows: dict[str, str]) -> str:
    return "\n".join(meanings_of(rows, wide_of(sys.stdout)))


if __name__ == "__main__":
    sys.exit(main())
