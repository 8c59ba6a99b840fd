"""pysyncobj's core, imported without what the store must not have: its sockets, its poller, its optional crypto."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Final


class _NoPoller:
    """pysyncobj polls its own sockets in its tick; there are none."""

    def subscribe(self, *_arguments: object) -> None: ...

    def unsubscribe(self, *_arguments: object) -> None: ...

    def poll(self, _timeout: float) -> None: ...


def _import() -> ModuleType:
    """pysyncobj tries to import `cryptography` for a password scheme that is not used: 20 MB for nothing."""
    hidden = [name for name in ("cryptography", "cryptography.fernet") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        module = importlib.import_module("pysyncobj.syncobj")
    finally:
        for name in hidden:
            del sys.modules[name]
    module.createPoller = lambda _kind: _NoPoller()  # type: ignore[attr-defined]
    return module


syncobj: Final = _import()
FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2
REGULAR: Final = 0
MEMBERSHIP: Final = 2
SUCCESS: Final = 0  # FAIL_REASON
EntryT = tuple[bytes, int, int]
"""(command with its type byte, index, term)."""
