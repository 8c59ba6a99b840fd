"""uvicorn without its command line.

Importing the package brings click and a process manager: 2 MB in each process that serves HTTP, which use neither. So
the package is put in place unexecuted, and executed only if somebody asks it for more than its parts.
"""

from __future__ import annotations

import importlib.util
import sys

PACKAGE = "uvicorn"


def _put_in_place() -> None:
    if PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, "it is a dependency of ours"
    assert spec.loader is not None, "it is a package of files"
    loader, module = spec.loader, importlib.util.module_from_spec(spec)

    def execute(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = execute
    sys.modules[PACKAGE] = module


_put_in_place()

from uvicorn.config import Config  # noqa: E402
from uvicorn.server import Server  # noqa: E402

sys.modules[PACKAGE].__dict__.setdefault("Config", Config)  # its own parts ask the package for that
__all__ = ["Config", "Server"]
