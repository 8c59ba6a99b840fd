"""Where secrets are: records name a file of the node's directory of secrets, or a variable of its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.errors import RuntimeFault

FILE: Final = "file:"
ENVIRONMENT: Final = "env:"
VARIABLES: Final = "AETHER_ALERT_"
"""Only variables that begin so: a record must not be able to send others of the process away."""
SECRET_BYTES_MAX: Final = 16 * 1024
_REFERENCE: Final = re.compile(rf"{FILE}[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}|{ENVIRONMENT}{VARIABLES}[A-Z0-9_]{{1,80}}")


class SecretUnreadable(RuntimeFault):
    """What a record refers to is not on this node. The sentence names the place, never what is in it."""

    code = "secret_unreadable"
    remedy = "Put it on every core node: the leader sends, and any of them may lead."


def is_reference(text: str) -> bool:
    return _REFERENCE.fullmatch(text) is not None


class Secrets:
    """Of one node. Read anew each time, so that a rotated secret holds at once."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment

    def read(self, reference: str) -> str:
        """Raises SecretUnreadable."""
        if not is_reference(reference):
            raise SecretUnreadable("a record refers to no file and no variable that may be read")
        if reference.startswith(FILE):
            return self._file(self.path(reference))
        name = reference.removeprefix(ENVIRONMENT)
        value = self._environment.get(name, "")
        if not value:
            raise SecretUnreadable(f"the variable {name} is not set on this node")
        return value

    def path(self, reference: str) -> Path:
        """Of a reference to a file. Its name holds no slash, so it stays in the directory."""
        return self._directory / reference.removeprefix(FILE)

    def _file(self, path: Path) -> str:
        try:
            with path.open("rb") as source:
                raw = source.read(SECRET_BYTES_MAX + 1)
            text = raw.decode().strip()
        except (OSError, UnicodeDecodeError):
            raise SecretUnreadable(f"the file {path} cannot be read as text") from None
        if not text or len(raw) > SECRET_BYTES_MAX:
            raise SecretUnreadable(f"the file {path} is empty, or longer than {SECRET_BYTES_MAX} bytes")
        return text
