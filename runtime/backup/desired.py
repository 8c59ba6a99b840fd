"""What people made of a cluster: the part of its state that a restore must bring back alike, whoever leads it there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from runtime.consensus.backup import load
from runtime.consensus.machine import Machine
from runtime.consensus.store import KeyValue
from runtime.state import keys

DESIRED: Final = (
    *(keys.BLUEPRINTS, keys.ARTIFACTS, keys.CONFIG, keys.POLICY, keys.FREEZES, keys.PRINCIPALS, keys.API_KEYS),
    *(keys.ALERT_THRESHOLDS, keys.ALERT_RULES, keys.ALERT_RECEIVERS, keys.ALERT_ROUTES),
    *(keys.SCALING_CONFIGS, keys.PLAYBOOKS),
)
"""Not the wanted numbers of instances: scaling finds these anew from the blueprints' bounds."""
UNTOLD: Final = frozenset({keys.API_KEYS})
"""Hashes of keys: in the snapshot, and not in text that may go into a repository."""


class DesiredItem(NamedTuple):
    key: str
    value: bytes


def recoverable_items(snapshot: Path) -> list[DesiredItem]:
    """Artifacts, blueprints and settings of a snapshot, in the order in which operations can bring them back. Raises
    BackupUnusable."""
    _, machine = load(snapshot)
    prefixes = (keys.ARTIFACTS, keys.BLUEPRINTS, keys.CONFIG)
    return [DesiredItem(item.key, item.value) for prefix in prefixes for item in machine.keys.below(prefix)]


def desired_items(machine: Machine) -> Iterator[KeyValue]:
    """In the order of their keys."""
    found = {item.key: item for prefix in DESIRED for item in machine.keys.below(prefix)}
    yield from (found[key] for key in sorted(found))


def desired_sha256(items: Iterable[KeyValue]) -> str:
    """Over keys and values alone: revisions are those of the cluster that holds them."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(msgspec.msgpack.encode((item.key, item.value)))
    return digest.hexdigest()


def snapshot_sha256(snapshot: Path) -> str:
    """Of what people made of the cluster that the snapshot is of. Raises BackupUnusable."""
    _, machine = load(snapshot)
    return desired_sha256(desired_items(machine))
