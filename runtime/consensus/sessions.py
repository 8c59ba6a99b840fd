"""Sessions: a change that is repeated because its answer was lost is answered again, and applied once."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Final

import msgspec

from runtime.consensus import commands as c
from runtime.consensus.errors import Overloaded, SessionLost

SESSIONS_MAX: Final = 4_096  # a client process each; the longest unused goes first
RESULTS_MAX: Final = 1_024  # as many as a client may have in flight


class Session(msgspec.Struct, array_like=True):
    """Results from `settled` on; the client has seen the ends of all before it."""

    settled: int
    results: dict[int, c.Result]


class Sessions:
    """By id, the longest unused first. Ids are never used again, so one that is unknown was forgotten."""

    def __init__(self, sessions: dict[int, Session] | None = None, next_id: int = 1) -> None:
        self.by_id = sessions if sessions is not None else {}
        self.next_id = next_id

    def all(self) -> ItemsView[int, Session]:
        return self.by_id.items()

    def open(self) -> int:
        number = self.next_id
        self.next_id += 1
        self.by_id[number] = Session(0, {})
        if len(self.by_id) > SESSIONS_MAX:
            del self.by_id[next(iter(self.by_id))]
        return number

    def admit(self, envelope: c.Envelope) -> c.Result | None:
        """The result that the command has had already; None if it is new. Raises SessionLost when that cannot be known
        any more, and Overloaded when too many results are kept for it."""
        session = self.by_id.get(envelope.session)
        if session is None:
            raise SessionLost(f"session {envelope.session} is not known here")
        self.by_id[envelope.session] = self.by_id.pop(envelope.session)
        session.settled = max(session.settled, envelope.settled)
        self._forget_settled(session)
        if envelope.sequence < session.settled:
            raise SessionLost(f"change {envelope.sequence} of session {envelope.session} had ended")
        found = session.results.get(envelope.sequence)
        if found is None and len(session.results) >= RESULTS_MAX:
            raise Overloaded(f"session {envelope.session} has {RESULTS_MAX} changes in flight")
        return found

    @staticmethod
    def _forget_settled(session: Session) -> None:
        """From the oldest result on: nearly always they were made in the order of their numbers."""
        results, settled = session.results, session.settled
        while results and (oldest := next(iter(results))) < settled:
            del results[oldest]

    def note(self, envelope: c.Envelope, result: c.Result) -> None:
        self.by_id[envelope.session].results[envelope.sequence] = result
