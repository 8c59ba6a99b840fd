"""The guide to an etcd of one's own, followed on one node: what is kept there is enough to serve a slice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.consensus.etcd_server import EtcdServer
from tests.guide_script import free_base

TIMEOUT_S: Final = 60.0
SCRIPT: Final = """
aether cluster init data --listen 127.0.0.1:{port}
printf 'store_engine = "etcd"\\nstore_etcd_endpoints = ["{etcd}"]\\n' > data/config.toml
aether node start --data data --detach
aether new-slice hello
aether build hello
aether artifact upload hello/dist/hello-1.0.0-py3-none-any.whl --data data
aether blueprint apply hello/blueprint.toml --data data
until curl -fsS http://127.0.0.1:{port}/hello/you; do sleep 0.1; done
aether store status --data data
aether node stop --data data --now
"""


@pytest.mark.slow
def test_a_node_on_etcd_serves_a_slice(tmp_path: Path) -> None:
    etcd = EtcdServer(tmp_path)
    script = "set -euxo pipefail\n" + SCRIPT.format(port=free_base(), etcd=etcd.endpoint)
    try:
        etcd.start()
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        assert "Hello, you!" in done.stdout
        assert not list((tmp_path / "data" / "store").glob("*.wal")), "the built-in engine kept something"
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((tmp_path / "data" / "supervisor.lock").read_text()), signal.SIGKILL)
        etcd.kill()
