"""A real etcd of one member, in a directory of the test."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def etcd_server(directory: Path, *tls: str) -> Iterator[str]:
    """Gives its address once it says that it serves clients."""
    client, peer = free_port(), free_port()
    scheme = "https" if tls else "http"
    command = [
        "etcd", "--name", "e1", "--data-dir", str(directory / "etcd"), "--max-txn-ops", "1024", "--logger", "zap",
        "--listen-client-urls", f"{scheme}://127.0.0.1:{client}", "--advertise-client-urls", f"{scheme}://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"e1=http://127.0.0.1:{peer}", "--max-request-bytes", "2097152", *tls,
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if (
                "ready to serve client requests" in line
                or "serving client" in line
                or "serving insecure client" in line
            ):
                break
        else:
            raise AssertionError("etcd ended before it served")
        draining = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
        yield f"127.0.0.1:{client}"
    finally:
        server.kill()
        server.wait()
        with contextlib.suppress(UnboundLocalError):
            draining.wait()
        server.stderr.close()
