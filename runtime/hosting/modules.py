"""Which modules a slice can see: its artifact first, then its own dependency set, never the node's other packages."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from typing import Final

_WORKER_NEEDS: Final = ("runtime", "msgspec", "uvloop")


class ModulesTaken(Exception):
    """Another artifact in this process has modules of the same names; the sentence says which."""


def hide_node_packages(packages: str, *, keep: Iterable[str]) -> None:
    """Leaves the standard library, `packages` and the top-level packages `keep` (with what a worker itself needs).

    Those are imported here; their submodules are found through their own `__path__` from then on, so `sys.path` can
    forget where they live.
    """
    kept = {*_WORKER_NEEDS, *keep}
    for name in sorted(kept):
        importlib.import_module(name)
    sys.path[:] = [packages, *_standard_library()]
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]  # no finders of editable installs
    known = kept | sys.stdlib_module_names | {"__main__"}
    for name in [name for name in sys.modules if name.partition(".")[0] not in known]:
        del sys.modules[name]
    importlib.invalidate_caches()


def show_artifact(code: str) -> None:
    """Puts the artifact's code in front. Nothing happens for code that is part of the node itself."""
    if code and code not in sys.path:
        sys.path.insert(0, code)
        importlib.invalidate_caches()


class SharedModules:
    """Artifacts that share one process, as inline slices do: each top-level name belongs to one of them at a time."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}  # code directory → instances
        self._loaded: set[str] = set()

    def enter(self, code: str) -> None:
        """Makes the code importable. Raises ModulesTaken while an instance of another version uses its names."""
        if not code:
            return
        names = top_level_names(Path(code))
        for other in [other for other in self._loaded if other != code]:
            clash = names & top_level_names(Path(other))
            if not clash:
                continue
            if self._users.get(other):
                raise ModulesTaken(
                    f"module {min(clash)} of another artifact is in use here; "
                    'inline slices of two versions cannot share a process: use isolation = "worker"'
                )
            self._forget(other)
        show_artifact(code)
        self._loaded.add(code)
        self._users[code] = self._users.get(code, 0) + 1

    def leave(self, code: str) -> None:
        if self._users.get(code):
            self._users[code] -= 1

    def _forget(self, code: str) -> None:
        names = top_level_names(Path(code))
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        if code in sys.path:
            sys.path.remove(code)
        self._loaded.discard(code)
        self._users.pop(code, None)


def top_level_names(code: Path) -> frozenset[str]:
    """What `import` finds directly in a directory of unpacked wheels."""
    if not code.is_dir():
        return frozenset()
    names = (entry.name.partition(".")[0] for entry in code.iterdir() if not entry.name.endswith(".dist-info"))
    return frozenset(name for name in names if name.isidentifier() and name != "__pycache__")


def _standard_library() -> list[str]:
    roots = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    inside = tuple(f"{root}/" for root in roots)
    found = [
        entry
        for entry in sys.path
        if (entry in roots or entry.startswith(inside) or entry.endswith(".zip"))
        and "site-packages" not in entry
        and "dist-packages" not in entry
    ]
    return found or sorted(roots)
