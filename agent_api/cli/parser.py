"""Wrong words are told in two lines: what is wrong with the nearest that would be right, and where to read more."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from agent_api.cli.failure import report_words
from runtime.spelling import nearest

USAGE = 2
SECONDS_MAX = 7 * 86_400.0
NO_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)$")


def seconds(text: str) -> float:
    """For argparse: a number of seconds, 0 to a week."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= SECONDS_MAX:  # also what is no number at all
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 to {SECONDS_MAX:.0f}")
    return found


def waiting_seconds(text: str) -> float:
    """The same, behind --wait, which may stand alone: most mistakes are a word that belongs elsewhere."""
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; write --wait=60, or --wait as the last word") from None


def whole_number(least: int) -> Callable[[str], int]:
    """For argparse: a whole number, so many at least."""

    def checked(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return checked


def dollars(text: str) -> float:
    """For argparse: an amount that may be spent."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:  # also what is no number at all
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of dollars")
    return found


def file_to_write(text: str) -> Path:
    """For argparse: what takes minutes to make must not be lost because it cannot be written."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path


class Parser(argparse.ArgumentParser):
    """The parser of every command."""

    def error(self, message: str) -> NoReturn:
        choice = NO_CHOICE.search(message)
        if choice is not None:
            message += nearest(choice[1], [each.strip("'") for each in choice[2].split(", ")])
        report_words(self.prog, message, f"See {self.prog} --help.")
        self.exit(USAGE)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        found, left = self.parse_known_args(args, namespace)
        if left:
            near = nearest(left[0], self._option_string_actions) if left[0].startswith("-") else ""
            self.error(f"{left[0]!r} is one word too many{near}")
        return found
