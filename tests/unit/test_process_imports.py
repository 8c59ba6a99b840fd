"""Each process imports only what it runs: third-party packages are listed here, and a new heavy one fails."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

PROBE: Final = """
import importlib, json, sys
importlib.import_module({module!r})
names = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)
print(json.dumps(sorted(name for name in names if not name.startswith("_"))))
"""
OURS: Final = {"runtime", "infra", "controllers", "playbooks", "evals", "llm_layer", "agent_api"}

WIRE: Final = {"msgspec", "uvloop"}
HTTP: Final = WIRE | {"uvicorn", "httptools", "click", "h11"}
ALLOWED: Final[dict[str, set[str]]] = {
    "runtime.cluster.supervisor": set(),
    "agent_api.assemble.store": WIRE | {"pysyncobj", "crc32c", "zstandard"},
    "agent_api.assemble.gateway": HTTP,
    "agent_api.assemble.zygote": WIRE,
    "agent_api.assemble.worker": WIRE,
    "agent_api.assemble.control": HTTP | {"anyio", "sniffio", "idna", "starlette", "prometheus_client"},
}
ALWAYS: Final = {"typing_extensions", "sitecustomize", "usercustomize", "cython_runtime"}


@pytest.mark.parametrize("module", ALLOWED)
def test_a_process_imports_only_what_it_runs(module: str) -> None:
    """A package that sneaks in costs memory and start time on every node, and may start a thread before a fork."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) - OURS - ALWAYS <= ALLOWED[module]
