"""Recorded decisions, decided again: as they were, and as another policy would have."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from controllers.scaling.config import ScalingConfig
from controllers.scaling.decide import decide
from controllers.scaling.model import Decision
from controllers.scaling.records import SCHEMA_VERSION, DecisionRecord
from controllers.scaling.tree import RuleTree
from evals.scaling.errors import DecisionsUnusable

RECORDS_MAX: Final = 1_000_000


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded decision. `again`: what its policy gives with these rules; `other`: what the other policy gives."""

    id: str
    at_unix_ms: int
    slice: str
    current: int
    recorded: int
    again: int
    other: int
    because: tuple[str, ...]

    @property
    def is_changed(self) -> bool:
        return self.other != self.again


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    records: int
    reproduced: int
    """That the recorded policy gives again: fewer than all where the rules are others than then."""
    changed: int
    more: int
    """Instances that the other policy would have wanted on top, where it wanted more."""
    fewer: int


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


def read_policy(path: Path) -> dict[str, object]:
    """The members of a scaling configuration that shall be others. Raises DecisionsUnusable."""
    try:
        members = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DecisionsUnusable(f"{path.name} cannot be read: {error}") from error
    _other(ScalingConfig(), members, path.name)
    return members


def replay(records: Sequence[DecisionRecord], tree: RuleTree, members: dict[str, object]) -> list[Replayed]:
    """members: of read_policy."""
    return [_replayed(record, tree, _other(record.config, members, record.id)) for record in records]


def summed(found: Sequence[Replayed]) -> Summary:
    return Summary(
        records=len(found),
        reproduced=sum(each.again == each.recorded for each in found),
        changed=sum(each.is_changed for each in found),
        more=sum(max(0, each.other - each.again) for each in found),
        fewer=sum(max(0, each.again - each.other) for each in found),
    )


def _replayed(record: DecisionRecord, tree: RuleTree, other: ScalingConfig) -> Replayed:
    decided = _decided(record, tree, other)
    return Replayed(
        id=record.id,
        at_unix_ms=record.at_unix_ms,
        slice=record.slice,
        current=record.seen.current,
        recorded=record.decision.wanted,
        again=_decided(record, tree, record.config).wanted,
        other=decided.wanted,
        because=tuple(map(str, decided.because)),
    )


def _decided(record: DecisionRecord, tree: RuleTree, config: ScalingConfig) -> Decision:
    return decide(config, tree, record.seen, record.around, opinion=record.opinion)


def _other(config: ScalingConfig, members: dict[str, object], where: str) -> ScalingConfig:
    try:
        return msgspec.convert({**msgspec.to_builtins(config), **members}, ScalingConfig)
    except msgspec.ValidationError as error:
        raise DecisionsUnusable(f"{where}: {error}") from error
