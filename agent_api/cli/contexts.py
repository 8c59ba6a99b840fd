"""Clusters by name, with their API addresses and keys, in one file that only its owner may read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from runtime.errors import RuntimeFault
from runtime.spelling import nearest

MODE: Final = 0o600
CONTEXT_VARIABLE: Final = "AETHER_CONTEXT"


class ContextUnusable(RuntimeFault):
    code = "context_unusable"

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy  # type: ignore[misc]  # each case has its own


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster, as one principal."""

    addresses: tuple[str, ...]
    key: str = ""


class Contexts(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; `current` is the one in use, or empty."""

    current: str = ""
    contexts: dict[str, Context] = msgspec.field(default_factory=dict)

    def find(self, name: str) -> Context:
        """Raises ContextUnusable with the nearest names."""
        found = self.contexts.get(name)
        if found is None:
            detail = f"there is no context {name[:80]!r}{nearest(name, self.contexts)}"
            raise ContextUnusable(detail, "List them: aether context list.")
        return found


def config_directory() -> Path:
    """Where this user's settings of the command line are kept. Raises ContextUnusable for a user without a home."""
    try:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError:
        raise ContextUnusable("no home directory is known", "Set HOME or XDG_CONFIG_HOME.") from None
    return Path(base) / "aether"


def contexts_file() -> Path:
    return config_directory() / "contexts.json"


def read_contexts() -> Contexts:
    """Empty where there is no file. Raises ContextUnusable for one that others may read, or that is damaged."""
    path = contexts_file()
    try:
        mode, raw = path.stat().st_mode & 0o777, path.read_bytes()
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise ContextUnusable(f"{path} cannot be read: {error.strerror}", "Check who owns it.") from error
    if mode & 0o077:
        raise ContextUnusable(f"others may read {path}, and it holds keys", f"Close it: chmod 600 {path}")
    try:
        return msgspec.json.decode(raw, type=Contexts)
    except msgspec.DecodeError as error:
        raise ContextUnusable(
            f"{path} is damaged: {error}", "Correct it, or remove it and add contexts anew."
        ) from error


def write_contexts(contexts: Contexts) -> None:
    """Whole or not at all. Raises ContextUnusable."""
    path = contexts_file()
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, MODE)) as file:
            file.write(msgspec.json.format(msgspec.json.encode(contexts)) + b"\n")
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise ContextUnusable(f"{path} cannot be written: {error.strerror}", "Check who owns its folder.") from error
