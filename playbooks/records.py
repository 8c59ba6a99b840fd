"""What the store keeps of playbooks: uploaded versions, and when each was started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from playbooks.document.reading import Source, read
from playbooks.errors import PlaybookInvalid, PlaybookUnknown
from playbooks.library import library
from runtime.deployment.records import Snapshot
from runtime.operations.actor import Actor
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import Value
from runtime.workflow.records import RunRecord

STARTS_KEPT: Final = 100
SOURCES_READ_MAX: Final = 128  # kept read, some 20 KiB each
_NUMBER: Final = re.compile(r"\d+")


class PlaybookRecord(Value, frozen=True, kw_only=True):
    """One version, as it was uploaded. Its source lies in the state, since what starts it is planned from it; the
    uploader is whom its triggers act for."""

    id: str
    version: str
    sha256: str
    source: str
    uploader: Actor
    uploaded_unix_ms: int


class Start(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    run: str
    at_unix_ms: int
    dedupe: str = ""


class PlaybookStarts(Value, frozen=True, kw_only=True):
    """The newest starts of one playbook, whatever its version, oldest first."""

    starts: tuple[Start, ...] = ()

    def with_start(self, start: Start) -> PlaybookStarts:
        return PlaybookStarts(starts=(*self.starts, start)[-STARTS_KEPT:])


ValueT = TypeVar("ValueT", bound=Value)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a playbook. `record`: None for one that comes with the package."""

    source: Source
    record: PlaybookRecord | None = None


def uploaded(state: Snapshot) -> list[PlaybookRecord]:
    found = (_decoded(item.value, PlaybookRecord) for item in state.items(keys.PLAYBOOKS))
    return [each for each in found if each is not None]


def all_known(state: Snapshot) -> list[Known]:
    """By id and version; what this version cannot read is left out."""
    found = {_which(each): Known(source=each) for each in library()}
    for record in uploaded(state):
        source = source_of(record)
        if source is not None:
            found[_which(source)] = Known(source=source, record=record)
    return [found[which] for which in sorted(found, key=lambda each: (each[0], order_of(each[1])))]


def newest(state: Snapshot) -> list[Known]:
    """Of each playbook the newest version: whose triggers are heeded."""
    return list({each.source.document.playbook.id: each for each in all_known(state)}.values())


def find(state: Snapshot, identity: str, version: str = "") -> Known:
    """That version, or the newest. Raises PlaybookUnknown."""
    known = all_known(state)
    found = [each for each in known if each.source.document.playbook.id == identity]
    if not found:
        names = {each.source.document.playbook.id for each in known}
        raise PlaybookUnknown(f"there is no playbook {identity[:63]!r}{nearest(identity, names)}")
    chosen = [each for each in found if version in ("", each.source.document.playbook.version)]
    if not chosen:
        versions = ", ".join(each.source.document.playbook.version for each in found)
        raise PlaybookUnknown(f"{identity} has no version {version[:20]!r}; it has {versions}")
    return chosen[-1]


def source_of(record: PlaybookRecord) -> Source | None:
    return _read(record.source)


@lru_cache(SOURCES_READ_MAX)
def _read(text: str) -> Source | None:
    """Triggers look at all playbooks each second, and these never change."""
    try:
        return read(text.encode())
    except PlaybookInvalid:
        return None  # of a newer version of Aether


def starts_of(raw: bytes | None) -> PlaybookStarts:
    return (_decoded(raw, PlaybookStarts) if raw is not None else None) or PlaybookStarts()


def states_of(state: Snapshot, starts: Sequence[Start]) -> Mapping[str, str]:
    """How runs stand, by run; those whose record is gone are left out."""
    runs = (run_in(state, start.run) for start in starts)
    return {run.id: run.state.value for run in runs if run is not None}


def run_in(state: Snapshot, identity: str) -> RunRecord | None:
    item = state.get(keys.run(identity))
    return _decoded(item.value, RunRecord) if item is not None else None


def order_of(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBER.findall(version))


def _which(source: Source) -> tuple[str, str]:
    return source.document.playbook.id, source.document.playbook.version


def _decoded(raw: bytes, kind: type[ValueT]) -> ValueT | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError:
        return None
