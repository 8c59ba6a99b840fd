"""A backup's directory: written whole or not at all, and checked file by file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from runtime.backup.desired import UNTOLD, desired_items, desired_sha256
from runtime.backup.errors import BackupDamaged
from runtime.consensus.backup import load
from runtime.consensus.machine import Machine
from runtime.consensus.store import KeyValue
from runtime.state import keys
from runtime.state.values import BlueprintRecord, decode

MANIFEST: Final = "manifest.json"
SNAPSHOT: Final = "store.snapshot"
ARTIFACTS: Final = "artifacts"
TEXT: Final = "text"
KEPT: Final = 5  # directories; the oldest go
CHUNK_BYTES: Final = 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files`: SHA-256 by path below the directory. `desired_sha256`: of what people made of the cluster."""

    format: int = 1
    cluster: str
    number: int
    revision: int
    made_unix_ms: int
    keys: int
    desired_sha256: str
    files: dict[str, str]


def write_backup(
    directory: Path, snapshot: Path, artifacts: Mapping[str, Path], *, number: int, made_unix_ms: int
) -> Manifest:
    """artifacts: files by the name they get. An earlier one of that name is replaced. Raises OSError and
    BackupUnusable."""
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    shutil.copyfile(snapshot, unfinished / SNAPSHOT)
    (unfinished / ARTIFACTS).mkdir()
    for name, source in artifacts.items():
        shutil.copyfile(source, unfinished / ARTIFACTS / name)
    header, machine = load(unfinished / SNAPSHOT)
    _write_text(unfinished / TEXT, machine)
    manifest = Manifest(
        cluster=header.cluster,
        number=number,
        revision=int(machine.revision),
        made_unix_ms=made_unix_ms,
        keys=sum(1 for _ in machine.keys.below("")),
        desired_sha256=desired_sha256(desired_items(machine)),
        files=_hashes(unfinished),
    )
    (unfinished / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    _sync(unfinished)
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)
    _trim(directory.parent)
    return manifest


def read_backup(directory: Path) -> Manifest:
    """Every file of it was read and is as it was written. Raises BackupDamaged."""
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BackupDamaged(f"{directory} holds no backup: {error}") from error
    found = _hashes(directory)
    for name in sorted({*manifest.files, *found} - {MANIFEST}):
        if name not in found:
            raise BackupDamaged(f"{name} is missing in {directory}")
        if manifest.files.get(name) != found[name]:
            raise BackupDamaged(f"{name} in {directory} is not what was written")
    return manifest


def _write_text(directory: Path, machine: Machine) -> None:
    """A file for each record, so that two backups can be compared line by line; blueprints also as written."""
    for item in desired_items(machine):
        kind = item.key.partition("/")[0]
        if f"{kind}/" in UNTOLD:
            continue
        path = directory / kind / f"{quote(item.key.partition('/')[2] or kind, safe='')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_readable(item))
        if item.key.startswith(keys.BLUEPRINTS):
            path.with_suffix(".toml").write_text(decode(item.value, BlueprintRecord).source)


def _readable(item: KeyValue) -> bytes:
    try:
        return msgspec.json.format(item.value, indent=2) + b"\n"
    except msgspec.DecodeError:
        return item.value  # the gate's policy, which is TOML


def _hashes(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): _sha256(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _trim(parent: Path) -> None:
    """Backups have names that sort by their number."""
    known = sorted(each for each in parent.iterdir() if (each / MANIFEST).is_file())
    for old in known[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
