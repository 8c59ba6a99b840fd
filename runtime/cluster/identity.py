"""node.json: who this node is and where it listens. Written by init and join, read by every process of the node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from runtime.errors import RuntimeFault
from runtime.names import NodeId


class IdentityUnwritable(RuntimeFault):
    code = "identity_unwritable"
    remedy = "Let the node's user write its data directory (chmod u+rwx), and make room on that disk."


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """`host` is bound. Ports are chosen before the first start and then stay.

    `advertised` has the `host:port` by which others reach a purpose ("peer", "store", …) where that is not the bound
    one: behind a forwarded port or a proxy.
    """

    host: str = "127.0.0.1"
    http: int
    api: int
    peer: int
    control: int
    store: int = 0  # 0 on worker nodes: they have no store
    advertised: dict[str, str] = {}


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    node: NodeId
    cluster_id: str
    role: Literal["core", "worker"]
    zone: str = "default"
    listen: Listen
    first: bool = False  # this node began the cluster: its store starts alone
    core_nodes: dict[str, str] = {}
    store_begun: bool = False  # its store has a log on disk: without that log this node must not vote again


def read_identity(path: Path) -> NodeIdentity:
    """Raises msgspec.ValidationError naming the member, or FileNotFoundError."""
    return msgspec.json.decode(path.read_bytes(), type=NodeIdentity)


def write_identity(path: Path, identity: NodeIdentity) -> None:
    """Replaces the file atomically. Raises IdentityUnwritable, and then the file is what it was."""
    try:
        _replace(path, msgspec.json.format(msgspec.json.encode(identity), indent=2))
    except OSError as error:
        raise IdentityUnwritable(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
