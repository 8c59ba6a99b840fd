"""A verified wheel as a directory: made beside its place, then renamed, so that a directory is whole or absent."""

from __future__ import annotations

import compileall
import csv
import hashlib
import os
import secrets
import shutil
import zipfile
from pathlib import Path

from infra.artifacts.wheel import checked_members, inspect_wheel, record_hash


def unpack(wheel: Path, target: Path) -> None:
    """Verifies the wheel and puts its files, compiled, where `target` says. Raises WheelInvalid; then nothing stays."""
    inspect_wheel(wheel)
    beside = beside_of(target)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, info in checked_members(archive).items():
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, path.open("xb") as sink:
                    shutil.copyfileobj(source, sink)
        compile_directory(beside)
        replace_directory(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def is_intact(directory: Path, wheel: Path) -> bool:
    """Whether the unpacked files are still those of the verified wheel. Compiled files are not looked at."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        record = archive.read(name)
    try:
        if (directory / name).read_bytes() != record:
            return False
        return all(
            told == f"sha256={record_hash(hashlib.sha256((directory / path).read_bytes()).digest())}"
            for path, told, *_ in csv.reader(record.decode().splitlines())
            if told
        )
    except OSError:
        return False


def beside_of(target: Path) -> Path:
    """A new empty directory in the same place under a name that `clear_unfinished` knows."""
    beside = target.parent / f".new-{secrets.token_hex(6)}"
    beside.mkdir(parents=True)
    return beside


def clear_unfinished(directory: Path) -> None:
    """Removes what a crash left half-made."""
    for left in directory.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)


def replace_directory(source: Path, target: Path) -> None:
    """Puts `source` in the place of `target`, which may exist."""
    if target.exists():
        old = beside_of(target)
        target.rename(old / "old")
        source.rename(target)
        shutil.rmtree(old)
    else:
        source.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def compile_directory(directory: Path) -> None:
    """Byte code now, so that no worker compiles while it starts. What does not compile fails at its import."""
    compileall.compile_dir(directory, quiet=2, stripdir=str(directory), workers=1)
