"""Making the data directory of a node: the first of a new cluster, or one that joins."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from runtime.cluster.identity import Listen, NodeIdentity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.cluster.seed import write_seed
from runtime.errors import RuntimeFault
from runtime.names import NodeId, is_name
from runtime.security.join import JoinAnswer, JoinAttempt
from runtime.security.token import JoinSecret
from runtime.state.values import ClusterRecord

UNFINISHED: Final = ".new-"


class DirectoryUnusable(RuntimeFault):
    code = "directory_unusable"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class NameInvalid(RuntimeFault):
    code = "name_invalid"
    remedy = "Use lower-case letters, digits and inner hyphens, beginning with a letter, at most 63."


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a node is to be."""

    node: NodeId
    role: Literal["core", "worker"]
    zone: str
    listen: Listen


def check_plan_names(node: str, zone: str) -> None:
    """Raises NameInvalid."""
    for what, text in (("node id", node), ("zone", zone)):
        if not is_name(text):
            raise NameInvalid(f"{text!r} cannot be a {what}")


def check_empty(data: Path) -> None:
    """Raises DirectoryUnusable when anything is there already."""
    if data.exists() and not data.is_dir():
        raise DirectoryUnusable(f"{data} is a file", "Choose a directory that is empty or does not exist.")
    if (data / "node.json").exists():
        raise DirectoryUnusable(f"{data} already holds a node", f"Start it: aether node start --data {data}")
    names = [path.name for path in data.iterdir()] if data.exists() else []
    if left := sorted(name for name in names if not name.startswith(UNFINISHED)):
        found = ", ".join(left[:5])
        raise DirectoryUnusable(
            f"{data} is not empty and holds no node (found: {found})",
            "Choose an empty directory, or delete this one if it is the rest of an earlier node.",
        )


def found_cluster(data: Path, plan: NodePlan, *, now_unix_ms: int) -> NodeIdentity:
    """A new cluster with this node as its first: CA, certificates, admin key, seed. All of it or nothing."""
    from runtime.security.authority import Authority, issue_node, write_private

    check_empty(data)
    cluster_id = secrets.token_hex(8)
    identity = NodeIdentity(
        node=plan.node, cluster_id=cluster_id, role="core", zone=plan.zone, listen=plan.listen, first=True
    )
    with _Making(data) as layout:
        authority = Authority.create(layout.tls, cluster_id, now_unix_ms=now_unix_ms)
        issue_node(authority, layout.tls, plan.node, now_unix_ms=now_unix_ms)
        admin_key = secrets.token_urlsafe(32)
        write_private(layout.admin_key, admin_key.encode())
        record = ClusterRecord(
            cluster_id=cluster_id,
            created_unix_ms=now_unix_ms,
            admin_key_sha256=hashlib.sha256(admin_key.encode()).hexdigest(),
        )
        write_seed(layout, record)
        write_identity(layout.identity, identity)
    return identity


def begin_join(plan: NodePlan, token: JoinSecret, *, now_unix_ms: int) -> JoinAttempt:
    """The attempt whose request goes to the cluster's API."""
    return JoinAttempt(
        token,
        node=plan.node,
        role=plan.role,
        zone=plan.zone,
        addresses=addresses_of(plan.listen),
        now_unix_ms=now_unix_ms,
    )


def finish_join(data: Path, plan: NodePlan, attempt: JoinAttempt, answer: JoinAnswer) -> NodeIdentity:
    """Writes what the cluster answered. All of it or nothing."""
    from runtime.security.authority import keep_identity
    from runtime.security.tls import server_context

    check_empty(data)
    identity = NodeIdentity(
        node=plan.node,
        cluster_id=answer.cluster_id,
        role=plan.role,
        zone=plan.zone,
        listen=plan.listen,
        core_nodes=answer.core_nodes,
    )
    with _Making(data) as layout:
        keep_identity(
            layout.tls,
            key_pem=attempt.key_pem,
            certificate_pem=answer.certificate.encode(),
            authority_pem=answer.authority.encode(),
        )
        server_context(layout.tls)  # refuses a certificate that is not for this node's key
        write_identity(layout.identity, identity)
    return identity


class _Making:
    """A directory inside the wanted one whose content moves up when all went well and vanishes when not.

    node.json moves last: what has none holds no node.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._inside = data / f"{UNFINISHED}{secrets.token_hex(4)}"

    def __enter__(self) -> NodeLayout:
        try:
            self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in self._data.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left)
            self._inside.mkdir(mode=0o700)
        except OSError as error:
            raise DirectoryUnusable(
                f"{self._data} cannot be written: {error.strerror}", "Choose another directory."
            ) from error
        return NodeLayout(self._inside)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for path in sorted(self._inside.iterdir(), key=lambda path: path.name == "node.json"):
                path.rename(self._data / path.name)
        shutil.rmtree(self._inside)
