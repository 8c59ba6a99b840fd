"""A cluster that begins from a backup of its store: a new group, in which nothing that was seen before goes back.

What changes on the way:
* The cluster gets a new id: a member that still has the old log can never mix with the new group.
* Revisions jump, so that a watcher, a cache or a fence that has seen more than the backup holds never sees a revision
  again with other content; history before the jump is compacted, so that watchers read anew.
* Sessions are forgotten and their ids are not used again: a change that was sent before is refused, not repeated.
* Leases begin anew with their whole time: what nobody keeps alive ends by itself, nothing ends early.
* From a backup of another cluster comes what its users made, and nothing of its nodes.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from runtime.cluster.founding import DirectoryUnusable
from runtime.cluster.identity import NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.cluster.seed import seed_path
from runtime.consensus.backup import Summary, begin_from, load, verify
from runtime.consensus.directory import has_log
from runtime.consensus.errors import StoreFault
from runtime.consensus.machine import Machine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.snapshot import NAME
from runtime.consensus.sessions import Sessions
from runtime.consensus.store import KeyValue, Revision
from runtime.state import keys
from runtime.state.values import ClusterRecord, decode, encode

REVISION_JUMP: Final = 1_000_000_000  # more than a cluster writes between backups: 30 years at one a second
_OF_NODES: Final = (  # what only the nodes of the cluster that made the backup can mean
    keys.NODES,
    keys.NODES_LIVE,
    keys.INSTANCES,
    keys.INSTANCE_STATES,
    keys.ENDPOINTS,
    keys.CONTENT,
    keys.JOIN_TOKENS,
)


class BackupOfAnotherCluster(StoreFault):
    code = "backup_of_another_cluster"

    def __init__(self, file: Path, found: str, wanted: str) -> None:
        super().__init__(f"{file} is a backup of cluster {found}, the directory belongs to cluster {wanted}")
        self._found = found

    def problem(self) -> dict[str, object]:
        remedy = f"If that is what you want, say so: --from-cluster {self._found}. Its nodes do not come with it."
        return {**super().problem(), "remedy": remedy}


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str
    nodes: tuple[str, ...]
    revision: Revision
    backup: Summary


def restore(file: Path, directories: Sequence[Path], *, from_cluster: str = "") -> Restored:
    """Makes the stores of those core nodes begin from the backup, as one new group. All of them are checked before the
    first is touched. Raises BackupUnusable, BackupOfAnotherCluster, DirectoryUnusable."""
    summary = verify(file)
    header, machine = load(file)
    layouts = [NodeLayout(directory) for directory in directories]
    identities = [_checked(layout) for layout in layouts]
    _check_one_cluster(identities)
    cluster = identities[0].cluster_id
    if header.cluster not in (cluster, from_cluster):
        raise BackupOfAnotherCluster(file, header.cluster, cluster)
    new_id = secrets.token_hex(8)
    seeds = [_seed(layout) for layout in layouts]
    renew(machine, cluster=new_id, seed=next(filter(None, seeds), None), foreign=header.cluster != cluster)
    addresses = {identity.node: addresses_of(identity.listen).store for identity in identities}
    members = {str(node): Peer(address) for node, address in addresses.items()}
    for layout, identity in zip(layouts, identities, strict=True):
        others = {node: address for node, address in addresses.items() if node != identity.node}
        begin_from(layout.store, machine, cluster=new_id, members=members)
        renewed = msgspec.structs.replace(identity, cluster_id=new_id, core_nodes=others, store_begun=False)
        write_identity(layout.identity, renewed)
        seed_path(layout).unlink(missing_ok=True)
    return Restored(cluster=new_id, nodes=tuple(addresses), revision=machine.revision, backup=summary)


def renew(machine: Machine, *, cluster: str, seed: ClusterRecord | None, foreign: bool) -> None:
    """The state as the new group begins with it. `seed`: what `cluster init` had meant to begin with."""
    machine.revision = Revision(machine.revision + REVISION_JUMP)
    machine.sessions = Sessions(None, machine.sessions.next_id)
    for _, lease in machine.leases.all():
        lease.left_ms, lease.fresh = lease.ttl_ms, True
    if foreign:
        for prefix in _OF_NODES:
            for item in list(machine.keys.below(prefix)):
                machine.keys.delete(item.key, machine.revision)
                machine.leases.detach(item.key, item.lease)
    found = machine.keys.get(keys.CLUSTER)
    record = seed or (decode(found.value, ClusterRecord) if found is not None else None)
    if record is not None:
        value = encode(msgspec.structs.replace(record, cluster_id=cluster))
        machine.keys.put(_as_changed(keys.CLUSTER, value, found, machine.revision))


def _as_changed(key: str, value: bytes, before: KeyValue | None, revision: Revision) -> KeyValue:
    return KeyValue(
        key=key,
        value=value,
        create_revision=before.create_revision if before is not None else revision,
        mod_revision=revision,
        version=before.version + 1 if before is not None else 1,
    )


def _seed(layout: NodeLayout) -> ClusterRecord | None:
    path = seed_path(layout)
    return decode(path.read_bytes(), ClusterRecord) if path.exists() else None


def _checked(layout: NodeLayout) -> NodeIdentity:
    """The core node in a directory that has no store and does not run. Raises DirectoryUnusable."""
    try:
        identity = read_identity(layout.identity)
    except FileNotFoundError:
        raise DirectoryUnusable(
            f"{layout.data} holds no node", f"Begin a cluster there first: aether cluster init {layout.data}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DirectoryUnusable(f"{layout.identity} is damaged: {error}", "Use another directory.") from None
    if identity.role != "core":
        raise DirectoryUnusable(f"{identity.node} is a worker node and has no store", "Name core nodes' directories.")
    if _runs(layout):
        raise DirectoryUnusable(
            f"a node runs on {layout.data}", f"Stop it: aether node stop --data {layout.data} --now"
        )
    if has_log(layout.store) or (layout.store / NAME).exists():
        raise DirectoryUnusable(
            f"{layout.store} holds a store already",
            f"Make sure that it is not needed, then move it away: mv {layout.store} {layout.store}.before",
        )
    return identity


def _runs(layout: NodeLayout) -> bool:
    try:
        with (layout.data / "supervisor.lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _check_one_cluster(identities: Sequence[NodeIdentity]) -> None:
    if len({identity.cluster_id for identity in identities}) > 1:
        raise DirectoryUnusable("the directories belong to different clusters", "Name nodes of one cluster.")
    if len({identity.node for identity in identities}) < len(identities):
        raise DirectoryUnusable("a node is named twice", "Name each directory once.")
