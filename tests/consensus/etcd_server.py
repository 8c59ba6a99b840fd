"""A real etcd in a directory of the test: of one member, or of several that can be stopped and killed one by one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

SERVES = ("ready to serve client requests", "serving client", "serving insecure client")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class EtcdServer:
    """One member. `peers` are the ports of all members by name; elections are five times as quick as by default."""

    def __init__(self, directory: Path, *flags: str, name: str = "e1", peers: dict[str, int] | None = None) -> None:
        ports = peers or {name: free_port()}
        self.port = free_port()
        scheme = "https" if flags else "http"
        client, peer = f"{scheme}://127.0.0.1:{self.port}", f"http://127.0.0.1:{ports[name]}"
        cluster = ",".join(f"{each}=http://127.0.0.1:{port}" for each, port in ports.items())
        self._command = [
            "etcd", "--name", name, "--data-dir", str(directory / name), "--max-txn-ops", "1024", "--logger", "zap",
            "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--max-request-bytes", "2097152",
            "--heartbeat-interval", "20", "--election-timeout", "200", *flags,
        ]  # fmt: skip
        self._server: subprocess.Popen[str] | None = None
        self._drain: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Does not wait: one of several serves only once the others run too."""
        self._server = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait(self) -> None:
        """Until it says that it serves clients."""
        assert self._server is not None
        assert self._server.stderr is not None
        for line in self._server.stderr:
            if any(sign in line for sign in SERVES):
                self._drain = subprocess.Popen(["cat"], stdin=self._server.stderr, stdout=subprocess.DEVNULL)
                return
        raise AssertionError("etcd ended before it served")

    def start(self) -> None:
        self.launch()
        self.wait()

    def pause(self) -> None:
        """Returns once all its threads stand still."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        os.waitpid(self._server.pid, os.WUNTRACED)

    def resume(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._server is None:
            return
        assert self._server.stderr is not None
        self._server.kill()
        self._server.wait()
        if self._drain is not None:
            self._drain.wait()
        self._server.stderr.close()
        self._server = self._drain = None


@contextlib.contextmanager
def etcd_server(directory: Path, *flags: str) -> Iterator[str]:
    """Gives its address once it says that it serves clients."""
    server = EtcdServer(directory, *flags)
    try:
        server.start()
        yield server.endpoint
    finally:
        server.kill()
