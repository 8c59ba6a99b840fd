"""Recorded decisions and another policy, from files, to be decided again by `controllers.scaling.replaying`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from controllers.scaling.config import ScalingConfig
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.records import SCHEMA_VERSION, DecisionRecord
from controllers.scaling.replaying import other_config
from evals.scaling.errors import DecisionsUnusable
from runtime.operations.plan import Json

RECORDS_MAX: Final = 1_000_000


def read_records(path: Path) -> Iterator[DecisionRecord]:
    """A JSON record a line, or the answer of `controller decisions --json`. Raises DecisionsUnusable, with the line."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DecisionsUnusable(f"{path.name} cannot be read: {error}") from error
    for number, raw in _items(text):
        if number > RECORDS_MAX:
            raise DecisionsUnusable(f"{path.name} has more than {RECORDS_MAX} records")
        yield _record(path, number, raw)


def _items(text: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        items = msgspec.json.decode(text, type=_Answer).items
    except (msgspec.DecodeError, UnicodeDecodeError):
        lines = enumerate(text.splitlines(), start=1)
        yield from ((number, line) for number, line in lines if line.strip())
        return
    yield from ((number, bytes(item)) for number, item in enumerate(items, start=1))


class _Answer(msgspec.Struct):
    items: list[msgspec.Raw]


def _record(path: Path, number: int, raw: bytes) -> DecisionRecord:
    try:
        record = msgspec.json.decode(raw, type=DecisionRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecisionsUnusable(f"{path.name}, record {number}: {error}") from error
    if record.schema_version != SCHEMA_VERSION:
        raise DecisionsUnusable(f"{path.name}, record {number} has schema version {record.schema_version}")
    return record


def read_policy(path: Path) -> dict[str, Json]:
    """The members of a scaling configuration that shall be others. Raises DecisionsUnusable."""
    try:
        members = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DecisionsUnusable(f"{path.name} cannot be read: {error}") from error
    try:
        other_config(ScalingConfig(), members)
    except ScalingPolicyInvalid as fault:
        raise DecisionsUnusable(f"{path.name}: {fault}") from fault
    return members
