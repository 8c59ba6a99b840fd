"""Where a node keeps its sockets: short enough for the kernel, and for its own user alone."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from pathlib import Path

import pytest

from runtime.cluster.layout import SOCKET_PATH_BYTES_MAX, NodeLayout
from runtime.cluster.supervisor import hold_directory
from runtime.cluster.supervisor_socket import SupervisorSocket
from runtime.hosting.zygote import WORKER_ID_MAX


def test_every_socket_has_a_path_under_100_bytes_however_long_the_directory_s() -> None:
    """The kernel takes 108; one byte too many and a node whose directory is a little longer does not start."""
    for length in range(40, 140):
        layout = NodeLayout(Path("/" + "d" * length))
        for name in ("supervisor", "zygote-set-0123456789abcdef", "w" * WORKER_ID_MAX):
            assert len(str(layout.socket(name)).encode()) <= SOCKET_PATH_BYTES_MAX < 100


def test_sockets_outside_of_the_data_directory_are_below_a_directory_of_their_user_alone(tmp_path: Path) -> None:
    """Who can rename a directory in it could put sockets of their own in the node's place."""
    layout = NodeLayout(tmp_path / ("d" * 100))
    assert not layout.run.is_relative_to(tmp_path)
    hold_directory(layout)
    try:
        assert [path.stat().st_mode & 0o777 for path in (layout.run, layout.run.parent)] == [0o700, 0o700]
    finally:
        layout.run.rmdir()


def test_the_supervisor_s_socket_drops_processes_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = selectors.DefaultSelector()
    listening = SupervisorSocket(tmp_path / "s.sock", selector, lambda _number, _request: {"ok": True})
    assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o600
    for uid, answer in ((os.getuid(), b'{"ok": true}\n'), (4_242, b"")):
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s.sock"))
            client.sendall(b'{"op": "list"}\n')
            for _ in range(2):  # accepted, then read
                for key, events in selector.select(timeout=0.01):
                    key.data(events)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == answer
    listening.close()
    selector.close()
