"""Secrets that people put on a node: a variable of its environment, or a file that its owner alone may read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.errors import RuntimeFault
from runtime.telemetry.log import Secret

SECRET_BYTES_MAX: Final = 4_096
_SECRET: Final = re.compile(r"[\x21-\x7e]{1,4096}")
"""What fits a header: of anything else a client's own error would show the secret."""


class SecretUnfit(RuntimeFault):
    """There is one that may not be used. The sentence names the place, never what is in it."""

    code = "secret_unfit"
    remedy = "Correct the file or variable on that node: one line, and a file of mode 0600 that the node's user owns."


def read_secret(variable: str, path: Path, environment: Mapping[str, str]) -> Secret | None:
    """The variable's before the file's; None where neither is. Raises SecretUnfit."""
    text = environment.get(variable, "").strip()
    if text:
        return _checked(text, f"the variable {variable}")
    raw = _read(path)
    return _checked(raw, f"the file {path}") if raw is not None else None


def _read(path: Path) -> str | None:
    """Raises SecretUnfit, also for a file that others may read: what lies open is no secret any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretUnfit(f"the file {path} cannot be read: {error.strerror}") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077 or about.st_uid != os.geteuid():
            raise SecretUnfit(f"{path} is no file that its owner alone may read: it wants mode 0600")
        return os.read(descriptor, SECRET_BYTES_MAX + 1).decode("latin-1").strip()
    finally:
        os.close(descriptor)


def _checked(text: str, place: str) -> Secret:
    if _SECRET.fullmatch(text) is None:
        raise SecretUnfit(f"{place} holds no key: one line of letters, digits and signs")
    return Secret(text)
