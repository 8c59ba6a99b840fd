"""dist-info/aether.json: what `aether build` found out about a wheel, so that nobody imports it to know."""

from __future__ import annotations

import hashlib
import sys
from typing import Final, Literal

import msgspec

from runtime.sdk.contract import SliceContract

FILE_NAME: Final = "aether.json"
BUNDLE_DIRECTORY: Final = "aether-wheels"
OUR_NAMES: Final = frozenset(
    {"runtime", "infra", "controllers", "playbooks", "evals", "llm_layer", "agent_api", "aether"}
)
SHARED_PACKAGES: Final = ("msgspec", "uvloop")
"""Every worker process runs ours; an artifact cannot bring its own."""
DEFAULT_SET: Final = "default"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`pins` are lines of a pip requirements file with hashes; `bundled` are wheels below `BUNDLE_DIRECTORY`."""

    format: Literal[1] = 1
    slices: tuple[SliceContract, ...]
    pins: tuple[str, ...] = ()
    bundled: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()  # third-party top-level modules that importing the slices loads
    python: str = ""  # "3.11": what the pins were resolved for


def dependency_set(pins: tuple[str, ...]) -> str:
    """Names the environment of these pins; equal pins share one."""
    if not pins:
        return DEFAULT_SET
    digest = hashlib.sha256("\n".join((*sorted(pins), python_version())).encode()).hexdigest()
    return f"set-{digest[:16]}"


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def reserved(top_level: str) -> str:
    """Why a wheel must not own that top-level name; empty if it may."""
    if top_level in OUR_NAMES:
        return f"{top_level!r} is a package of Aether itself"
    if top_level in SHARED_PACKAGES:
        return f"{top_level!r} is shared by all slices of a worker"
    if top_level in sys.stdlib_module_names:
        return f"{top_level!r} is a module of the standard library"
    return ""
