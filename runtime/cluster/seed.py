"""What the first node writes into a new cluster's store: made by `cluster init`, planted once by its control."""

from __future__ import annotations

from pathlib import Path

from runtime.cluster.layout import NodeLayout
from runtime.consensus.store import Put, Store, absent
from runtime.state import keys
from runtime.state.values import ClusterRecord, decode, encode


def seed_path(layout: NodeLayout) -> Path:
    return layout.data / "seed.json"


def write_seed(layout: NodeLayout, record: ClusterRecord) -> None:
    seed_path(layout).write_bytes(encode(record))


async def plant_seed(layout: NodeLayout, store: Store) -> bool:
    """Writes the ClusterRecord unless there is one; True if it did. Without a seed file it does nothing.

    The file goes once the store has the record, so a crash in between only repeats the attempt.
    """
    path = seed_path(layout)
    if not path.exists():
        return False
    record = decode(path.read_bytes(), ClusterRecord)
    done = await store.txn([absent(keys.CLUSTER)], [Put(key=keys.CLUSTER, value=encode(record))])
    path.unlink()
    return done.succeeded
