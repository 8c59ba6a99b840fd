"""Every value has a writer, and whatever went was deleted or outlived its lease: the causes of what was seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from evals.linearizability.history import Done, Granted, History, Operation, Refused
from evals.linearizability.lives import Life, Offence, Sighting, Span
from runtime.consensus import commands as c
from runtime.consensus.errors import LeaseNotFound
from runtime.consensus.store import Delete, LeaseId, Put, Revision


def unexplained(history: History, lives: dict[str, Life], clock_error: float) -> Offence | None:
    causes = Causes(history, clock_error)
    ours = {key: life for key, life in lives.items() if not key.startswith("_")}  # the store writes those itself
    return causes.unwritten(ours) or causes.vanished(ours) or causes.ended_early()


@dataclass(frozen=True, slots=True)
class _Seen:
    key: str
    span: Span


class Causes:
    def __init__(self, history: History, clock_error: float) -> None:
        self._revision = history.revision
        self._clock_error = clock_error
        self._writers: dict[Revision, Operation] = {}
        self._deletes: list[tuple[Operation, Delete]] = []
        self._perhaps: dict[str, list[Operation]] = defaultdict(list)  # key → puts of unknown outcome
        self._revoked: dict[LeaseId, float] = {}
        self._refused: list[Operation] = []
        self._stands_until_s: dict[LeaseId, tuple[float, Operation]] = {}
        self._ttl_s: dict[LeaseId, float] = {}
        for each in sorted(history.operations, key=lambda each: each.began_s):
            self._note(each)

    def _note(self, each: Operation) -> None:
        match each.request, each.answer:
            case c.Txn(), _:
                self._note_writes(each)
            case c.Grant(ttl_ms), Granted(lease):
                self._ttl_s[lease] = ttl_ms / 1_000
                self._keep(lease, each)
            case c.KeepAlive(lease), Done():
                self._keep(lease, each)
            case c.KeepAlive(_), Refused(code) if code == LeaseNotFound.code:
                self._refused.append(each)
            case c.Revoke(lease), _:
                self._revoked.setdefault(lease, each.began_s)

    def _note_writes(self, each: Operation) -> None:
        for write in each.writes:
            if isinstance(write, Delete):
                self._deletes.append((each, write))
            elif each.revision is not None:
                self._writers[each.revision] = each
            else:
                self._perhaps[write.key].append(each)

    def _keep(self, lease: LeaseId, each: Operation) -> None:
        ttl_s = self._ttl_s.get(lease)
        if ttl_s is not None:
            self._stands_until_s[lease] = (each.began_s + ttl_s * (1 - self._clock_error), each)

    # -- writers -------------------------------------------------------------------------------------------------------

    def unwritten(self, lives: dict[str, Life]) -> Offence | None:
        """A revision is one transaction: what was acknowledged, or one of those of unknown outcome, each once."""
        by_revision: dict[Revision, list[_Seen]] = defaultdict(list)
        for key, life in lives.items():
            for span in life.spans:
                if span.mod > self._revision:
                    by_revision[span.mod].append(_Seen(key, span))
        candidates: dict[Revision, list[Operation]] = {}
        for revision, seen in sorted(by_revision.items()):
            if (writer := self._writers.get(revision)) is not None:
                if not _wrote(writer, seen):
                    return _offence(f"revision {revision} shows what its transaction did not write", seen, writer)
                continue
            candidates[revision] = self._candidates(seen)
        lost = _unmatched(candidates)
        if lost is None:
            return None
        because = f"nobody wrote what revision {lost} shows, or one wrote it twice"
        return _offence(because, by_revision[lost], *candidates[lost])

    def _candidates(self, seen: list[_Seen]) -> list[Operation]:
        known_s = min(_ended_s(sighting) for each in seen for sighting in each.span.seen)
        return [each for each in self._perhaps[seen[0].key] if each.began_s <= known_s and _could_write(each, seen)]

    # -- ends ----------------------------------------------------------------------------------------------------------

    def vanished(self, lives: dict[str, Life]) -> Offence | None:
        for key, life in lives.items():
            for span, gone in _ends(life):
                if span.lease is not None and not self._may_end(key, span, gone):
                    because = f"{key} of revision {span.mod} is gone at {gone.last}, and nobody deleted it"
                    if span.lease in self._stands_until_s:
                        because += f", and its lease {span.lease} could not have ended"
                        return _offence(
                            because, [_Seen(key, span)], self._stands_until_s[span.lease][1], gone.operation
                        )
                    return _offence(because, [_Seen(key, span)], gone.operation)
        return None

    def _may_end(self, key: str, span: Span, gone: Sighting) -> bool:
        seen_s = _ended_s(gone)
        for each, delete in self._deletes:
            hits = key.startswith(delete.key) if delete.prefix else key == delete.key
            if hits and each.began_s <= seen_s and (each.revision is None or span.last < each.revision <= gone.last):
                return True
        return bool(span.lease) and self._lease_may_end(LeaseId(span.lease or 0), seen_s)

    def _lease_may_end(self, lease: LeaseId, seen_s: float) -> bool:
        if self._revoked.get(lease, seen_s + 1) <= seen_s or lease not in self._stands_until_s:
            return True
        return seen_s >= self._stands_until_s[lease][0]

    def ended_early(self) -> Offence | None:
        for each in self._refused:
            assert isinstance(each.request, c.KeepAlive)
            lease = each.request.lease
            if not self._lease_may_end(lease, each.ended_s or 0.0):
                return Offence(f"lease {lease} ended early", (self._stands_until_s[lease][1], each))
        return None


def _ends(life: Life) -> list[tuple[Span, Sighting]]:
    """Each value that is known to have been removed, not replaced, with what shows that it was gone."""
    found = []
    for at, span in enumerate(life.spans):
        after = life.spans[at + 1] if at + 1 < len(life.spans) else None
        gone = next((each for each in life.absences if each.last > span.last), None)
        if gone is not None and (after is None or gone.last < after.mod):
            found.append((span, gone))
        elif after is not None and after.created is not None and after.created > span.last:
            shown = next(each for each in after.seen if each.item is not None)
            found.append((span, Sighting(shown.operation, after.created, after.created)))
    return found


def _ended_s(sighting: Sighting) -> float:
    ended_s = sighting.operation.ended_s if sighting.operation is not None else None
    return ended_s if ended_s is not None else float("inf")


def _wrote(writer: Operation, seen: list[_Seen]) -> bool:
    puts = {write.key: write for write in writer.writes if isinstance(write, Put)}
    return all(each.key in puts and _is_of(each.span, puts[each.key]) for each in seen)


def _could_write(operation: Operation, seen: list[_Seen]) -> bool:
    assert isinstance(operation.request, c.Txn)
    for branch in (operation.request.then, operation.request.otherwise):
        puts = {write.key: write for write in branch if isinstance(write, Put)}
        if all(each.key in puts and _is_of(each.span, puts[each.key]) for each in seen):
            return True
    return False


def _is_of(span: Span, put: Put) -> bool:
    return span.value in (None, put.value) and span.lease in (None, put.lease)


def _unmatched(candidates: dict[Revision, list[Operation]]) -> Revision | None:
    """A revision that is left when each is given an operation of its own, by augmenting paths."""
    given: dict[int, Revision] = {}
    for revision in candidates:
        if not _give(revision, candidates, given, set()):
            return revision
    return None


def _give(
    revision: Revision, candidates: dict[Revision, list[Operation]], given: dict[int, Revision], tried: set[int]
) -> bool:
    for each in candidates[revision]:
        if id(each) in tried:
            continue
        tried.add(id(each))
        if id(each) not in given or _give(given[id(each)], candidates, given, tried):
            given[id(each)] = revision
            return True
    return False


def _offence(because: str, seen: list[_Seen], *operations: Operation | None) -> Offence:
    shown = [each.span.first_seen.operation for each in seen]
    distinct = {id(each): each for each in (*shown, *operations) if each is not None}
    return Offence(because, tuple(distinct.values()))
