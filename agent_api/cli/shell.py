"""`aether shell`: the commands without the word aether, with history, completion and lines that go on."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from agent_api.cli.contexts import MODE, ContextUnusable, config_directory
from agent_api.cli.failure import report
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

ENDS: Final = ("exit", "quit")
PROMPT: Final = "aether> "
CONTINUED: Final = "      … "


class LineUnfinished(RuntimeFault):
    code = "line_unfinished"
    remedy = "Close the quotation, or end the line without a backslash."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Where the input is no terminal, commands are read from it line by line; # begins a comment."


def run(_arguments: argparse.Namespace) -> int:
    """The exit code of the last command."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _run_all(_typed())
    return _run_all(_piped())


def words_of(text: str) -> list[str]:
    """Raises LineUnfinished."""
    try:
        words = shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise LineUnfinished(f"the line is not finished: {str(error).lower()}") from error
    return words[1:] if words and words[0] in ("aether", "./aether") else words


def is_finished(text: str) -> bool:
    """Whether the line can be run as it stands; an open quotation or a backslash at its end goes on."""
    if text.endswith("\\"):
        return False
    try:
        words_of(text)
    except LineUnfinished:
        return False
    return True


def _run_all(lines: Iterator[str]) -> int:
    code = 0
    for line in lines:
        try:
            words = words_of(line)
            if words and words[0] in ENDS:
                break
            code = _run_one(words) if words else code
        except RuntimeFault as fault:
            code = report("shell", fault)
    return code


def _run_one(words: list[str]) -> int:
    """A command must not end the shell, whatever becomes of it."""
    from agent_api.cli.main import main

    if words == ["shell"]:
        return 0
    if words[0] == "help":
        words = [*words[1:], "--help"]
    try:
        return main(words)
    except SystemExit as end:  # argparse's way to say that the words were wrong
        return end.code if isinstance(end.code, int) else 2
    except Exception:
        traceback.print_exc()
        return 1


def _piped() -> Iterator[str]:
    waiting = ""
    for line in sys.stdin:
        waiting += line.rstrip("\n")
        if is_finished(waiting):
            yield waiting
            waiting = ""
        else:
            waiting += "\n"
    if waiting:
        yield waiting


def _typed() -> Iterator[str]:
    session = _session()
    print(f"commands without the word aether; help lists them, {' or '.join(ENDS)} ends")
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _session() -> PromptSession[str]:
    from prompt_toolkit import PromptSession

    from agent_api.cli.shell_input import Completion, bindings

    return PromptSession(
        PROMPT,
        history=history("history"),
        completer=Completion(),
        complete_in_thread=True,
        key_bindings=bindings(is_finished),
        multiline=True,
        prompt_continuation=CONTINUED,
    )


def history(name: str) -> History:
    """Of this user alone, in a file of that name; of this session where it cannot be kept."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        path = config_directory() / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, MODE))
    except (OSError, ContextUnusable) as error:
        print(f"aether: what is typed here is forgotten at the end: {error}", file=sys.stderr)
        return InMemoryHistory()
    return FileHistory(str(path))
