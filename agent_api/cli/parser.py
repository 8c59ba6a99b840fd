"""Wrong words are told in two lines: what is wrong with the nearest that would be right, and where to read more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from agent_api.cli.grammar import nearest

USAGE = 2


class Parser(argparse.ArgumentParser):
    """The parser of every command."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n  See {self.prog} --help.\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        found, left = self.parse_known_args(args, namespace)
        if left:
            near = nearest(left[0], self._option_string_actions) if left[0].startswith("-") else ""
            self.error(f"{left[0]!r} is one word too many{near}")
        return found
