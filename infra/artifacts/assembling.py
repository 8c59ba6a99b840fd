"""Adds the manifest, and bundled wheels, to a wheel. Equal inputs give equal bytes, so equal hashes."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import msgspec

from infra.artifacts.manifest import BUNDLE_DIRECTORY, FILE_NAME, Manifest
from infra.artifacts.wheel import WheelContents, checked_members, record_hash

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the oldest that zip knows: the time of a build is not part of the artifact


def assemble(
    source: Path, target: Path, contents: WheelContents, manifest: Manifest, bundled: tuple[Path, ...]
) -> None:
    """Writes `target` with everything of `source`, the manifest, the bundled wheels and a new RECORD."""
    added = {f"{contents.dist_info}/{FILE_NAME}": msgspec.json.format(msgspec.json.encode(manifest), indent=1)}
    for wheel in bundled:
        added[f"{contents.dist_info}/{BUNDLE_DIRECTORY}/{wheel.name}"] = wheel.read_bytes()
    record = f"{contents.dist_info}/RECORD"
    temporary = target.with_name(f".{target.name}.new")
    try:
        with zipfile.ZipFile(source) as before, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as after:
            rows: list[tuple[str, str, str]] = []
            for name, info in checked_members(before).items():
                if name not in (record, *added):
                    _write(after, rows, name, before.read(info))
            for name, body in added.items():
                _write(after, rows, name, body)
            after.writestr(_info(record), _record(rows, record))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, rows: list[tuple[str, str, str]], name: str, body: bytes) -> None:
    info = _info(name)
    if name.endswith(".whl"):
        info.compress_type = zipfile.ZIP_STORED  # compressed already
    archive.writestr(info, body)
    rows.append((name, f"sha256={record_hash(hashlib.sha256(body).digest())}", str(len(body))))


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    return info


def _record(rows: list[tuple[str, str, str]], record: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
    return text.getvalue()
