"""One key's life, pieced together from what was seen of it and when: values that each stand from one revision on."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from evals.linearizability.history import Operation
from runtime.consensus.store import Compare, KeyValue, LeaseId, Put, Revision


@dataclass(frozen=True, slots=True)
class Offence:
    """What cannot be, and the operations that show it."""

    because: str
    operations: tuple[Operation, ...]


class Unfit(Exception):
    """Sightings of a key that contradict each other."""

    def __init__(self, because: str, *sightings: Sighting) -> None:
        super().__init__(because)
        operations = dict.fromkeys(each.operation for each in sightings if each.operation is not None)
        self.offence = Offence(because, tuple(operations))


@dataclass(slots=True)
class Sighting:
    """The key stood so from `first` to `last`: absent without `mod`; else as `item` or `put` says, if they do."""

    operation: Operation | None
    first: Revision
    last: Revision
    mod: Revision | None = None
    item: KeyValue | None = None
    put: Put | None = None


@dataclass(slots=True)
class Span:
    """One value of the key: written at `mod`, seen last at `last`. What is None was not seen."""

    mod: Revision
    first_seen: Sighting
    last_seen: Sighting
    value: bytes | None = None
    lease: LeaseId | None = None
    version: int | None = None
    created: Revision | None = None
    seen: list[Sighting] = field(default_factory=list)

    @property
    def last(self) -> Revision:
        return self.last_seen.last

    def take(self, sighting: Sighting, key: str) -> None:
        """Raises Unfit when it was seen otherwise before."""
        source = sighting.item or sighting.put
        if source is not None:
            self._agree("value", source.value, sighting, key)
            self._agree("lease", source.lease, sighting, key)
        if sighting.item is not None:
            self._agree("version", sighting.item.version, sighting, key)
            self._agree("created", sighting.item.create_revision, sighting, key)
        if sighting.last > self.last_seen.last:
            self.last_seen = sighting
        self.seen.append(sighting)

    def _agree(self, name: str, found: object, sighting: Sighting, key: str) -> None:
        known = getattr(self, name)
        if known is None:
            setattr(self, name, found)
        elif known != found:
            because = f"{key} of revision {self.mod} was seen with {name} {known!r} and {found!r}"
            raise Unfit(because, *self.seen[:1], sighting)


class Life:
    """Raises Unfit when the sightings do not fit together."""

    def __init__(self, key: str, sightings: list[Sighting]) -> None:
        self.key = key
        spans: dict[Revision, Span] = {}
        for each in sightings:
            if each.mod is not None:
                if each.mod > each.last:
                    raise Unfit(f"{key} of revision {each.mod} was seen at {each.last}, before that", each)
                span = spans.setdefault(each.mod, Span(each.mod, each, each))
                span.take(each, key)
        self.spans = [spans[mod] for mod in sorted(spans)]
        self._mods = [span.mod for span in self.spans]
        self.absences = sorted((each for each in sightings if each.mod is None), key=lambda each: each.last)
        self._absent_at = {each.last: each for each in self.absences}
        self._fit()

    def at(self, revision: Revision) -> Span | None:
        """What is known to have stood at that revision."""
        at = bisect.bisect_right(self._mods, revision) - 1
        return self.spans[at] if at >= 0 and self.spans[at].last >= revision else None

    def witness(self, revision: Revision) -> Operation | None:
        if absence := self._absent_at.get(revision):
            return absence.operation
        span = self.at(revision)
        return span.last_seen.operation if span is not None else None

    def holds(self, compare: Compare, revision: Revision) -> bool | None:
        """None when it is not known what stood there."""
        found: int | bytes | None
        if revision in self._absent_at:
            found = b"" if compare.field == "value" else 0
        else:
            span = self.at(revision)
            if span is None:
                return None
            found = {
                "mod_revision": span.mod,
                "create_revision": span.created,
                "version": span.version,
                "value": span.value,
            }[compare.field]
        return None if found is None else compared(found, compare)

    def _fit(self) -> None:
        for before, after in zip(self.spans, self.spans[1:], strict=False):
            if before.last >= after.mod:
                because = (
                    f"{self.key} of revision {before.mod} was seen at {before.last}, after its write at {after.mod}"
                )
                raise Unfit(because, before.last_seen, after.first_seen)
            self._fit_versions(before, after)
        for span in self.spans:
            if span.created is not None and (span.created == span.mod) != (span.version == 1):
                raise Unfit(f"{self.key}: version {span.version} of {span.mod}, created {span.created}", *span.seen)
        for absence in self.absences:
            span_then = self.at(absence.last)
            if span_then is not None:
                because = (
                    f"{self.key} was absent at {absence.last}, and of revision {span_then.mod} at {span_then.last}"
                )
                raise Unfit(because, span_then.first_seen, span_then.last_seen, absence)

    def _fit_versions(self, before: Span, after: Span) -> None:
        if before.version is None or after.version is None or before.created is None or after.created is None:
            return
        grown = 0 < after.version - before.version <= after.mod - before.mod
        anew = after.created > before.last
        if not (grown if after.created == before.created else anew):
            because = (
                f"{self.key}: version {before.version} of {before.mod}, then version {after.version} of {after.mod}"
            )
            raise Unfit(because, before.last_seen, after.first_seen)


def compared(found: int | bytes, compare: Compare) -> bool:
    """As the store does it."""
    match compare.op:
        case "==":
            return found == compare.operand
        case "!=":
            return found != compare.operand
        case "<":
            return found < compare.operand  # type: ignore[operator]  # of one kind, or the store refuses it
        case ">":
            return found > compare.operand  # type: ignore[operator]
