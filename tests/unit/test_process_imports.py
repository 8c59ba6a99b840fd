"""Each process imports only what it runs: third-party packages are listed here, and a new heavy one fails."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
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
HTTP: Final = WIRE | {"uvicorn", "httptools"}
ANYIO: Final = {"anyio", "sniffio", "idna"}
FASTAPI: Final = {
    "fastapi",
    "starlette",
    "pydantic",
    "pydantic_core",
    "annotated_doc",
    "annotated_types",
    "typing_inspection",
    "opentelemetry",  # FastAPI requires this, and takes orjson along where it is installed
    "orjson",
}
ALLOWED: Final[dict[str, set[str]]] = {
    "runtime.cluster.supervisor": set(),
    "agent_api.assemble.store": WIRE | {"pysyncobj", "crc32c", "zstandard"},
    "agent_api.assemble.gateway": HTTP,
    "agent_api.assemble.zygote": WIRE,
    "agent_api.assemble.worker": WIRE,
    "agent_api.assemble.control": HTTP | ANYIO | {"prometheus_client", "zstandard"},
    "agent_api.assemble.forecaster": {"msgspec"},
    "controllers.ttm.engine": {"msgspec", "numpy", "onnxruntime"},  # the forecaster, a moment later
    "agent_api.control_api.app": HTTP | ANYIO | FASTAPI | {"prometheus_client", "zstandard"},  # control, a moment later
}
ALWAYS: Final = {"typing_extensions", "sitecustomize", "usercustomize", "cython_runtime"}

ROOT: Final = Path(__file__).resolve().parents[2]
PROCESS_CODE: Final = ("runtime", "infra", "controllers", "playbooks", "agent_api/assemble", "agent_api/control_api")

INDENTED: Final = re.compile(
    r"^[ \t]+(import|from) |import_module\(|__import__\(", re.MULTILINE
)  # parsing takes longer
LATER: Final = {  # file: what its functions import, and in which process that happens
    "agent_api/assemble/alerting.py": {"runtime.telemetry.alerts.sending"},  # control, with the first notification
    "agent_api/assemble/api.py": {"pydantic", "agent_api.control_api.app", "agent_api.control_api.front"},  # control
    "agent_api/assemble/control_parts.py": {"agent_api.control_api.answers"},  # control, with a playbook's question
    "agent_api/assemble/forecaster.py": {"controllers.ttm.engine"},  # the forecaster itself, behind a job
    "agent_api/assemble/reasoner.py": {  # the reasoner, with the first turn or review that has a model: langgraph
        "llm_layer.checkpoints.saver",
        "llm_layer.graphs.scale_review",
    },
    "agent_api/assemble/store.py": {"agent_api.assemble.etcd_store"},  # a store that is a door to etcd: gRPC
    "agent_api/assemble/zygote.py": {"importlib.import_module(name)"},  # what a dependency set preloads
    "agent_api/assemble/trainer.py": {  # the trainer itself, behind a job that it could read
        "controllers.ttm.card",
        "controllers.ttm.errors",
        "controllers.ttm.forecaster",
        "controllers.ttm.graph_tensors",
        "controllers.ttm.model_file",
        "controllers.ttm.retraining",
    },
    "controllers/gate/policy.py": {"importlib"},
    "controllers/scaling/tree.py": {"importlib"},
    "infra/artifacts/building.py": {"build", "build.env", "pyproject_hooks"},  # the build command
    "infra/artifacts/keeping.py": {"infra.artifacts.wheel"},  # control, with an upload
    "infra/artifacts/wheel.py": {"runtime.names"},
    "playbooks/expressions/cel.py": {"cel_expr_python"},  # control, with the first expression
    "playbooks/actions/backing_up.py": {"runtime.backup.directory"},  # control, amid a backup
    "playbooks/actions/restoring.py": {"runtime.backup.desired"},
    "runtime/cluster/admission.py": {"runtime.security.authority"},  # control, when a node joins: cryptography
    "runtime/cluster/founding.py": {"runtime.security.authority", "runtime.security.tls"},  # cluster init
    "runtime/cluster/layout.py": {"hashlib"},
    "runtime/consensus/raft/core.py": {"importlib.import_module('pysyncobj.syncobj')"},
    "runtime/content/disk.py": {"runtime.clock"},
    "runtime/hosting/modules.py": {"importlib.import_module(name)"},  # what a worker needs of ours
    "runtime/sdk/bundle.py": {"importlib.import_module(module_name)"},  # the slices themselves
    "runtime/sdk/call.py": {"asyncio", "runtime.invocation.context"},
    "runtime/security/authority.py": {"hashlib", "hmac"},
    "runtime/security/oidc.py": {"joserfc", "joserfc.errors", "joserfc.jwk"},  # an identity provider
    "runtime/security/oidc_provider.py": {"runtime.security.provider_http"},  # likewise: http, email, ssl
    "runtime/spelling.py": {"difflib"},  # whoever was told what there is not
    "runtime/security/join.py": {"runtime.security", "runtime.security.authority"},  # a node that joins
}


@pytest.mark.parametrize("module", ALLOWED)
def test_a_process_imports_only_what_it_runs(module: str) -> None:
    """A package that sneaks in costs memory and start time on every node, and may start a thread before a fork."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    found = set(json.loads(done.stdout))
    assert found - OURS - ALWAYS <= ALLOWED[module]
    assert "llm_layer" not in found, "sentences, models and their SDKs are the reasoner's alone"


def test_what_is_imported_later_is_listed_here() -> None:
    """A heavy package that comes with the first request costs the same memory, and the request its time."""
    found: dict[str, set[str]] = {}
    for folder in PROCESS_CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            if INDENTED.search(text) and (names := set(imported_later(ast.parse(text)))):
                found[str(path.relative_to(ROOT))] = names
    assert found == LATER


def imported_later(tree: ast.AST, *, inside: bool = False) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        yield from imported_later(node, inside=inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        if not inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield ast.unparse(node)
