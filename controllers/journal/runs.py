"""What runs do that the audit must tell: parks, compensations, words of people, ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.gate.audit import AuditRecord, fitted
from runtime.clock import Clock
from runtime.consensus.store import Put
from runtime.operations import subjects
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.state import keys
from runtime.state.values import encode
from runtime.workflow.case import Note

ENGINE: Final = "workflow"


class RunTrail:
    """Called with a note, gives what writes it into the audit in the transaction that makes it so. The actor is the
    engine, and behind it whoever the run acts for."""

    def __init__(self, *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id

    def __call__(self, note: Note) -> list[Put]:
        run = note.run
        record = AuditRecord(
            id=self._new_id(),
            kind=note.kind,
            at_unix_ms=self._clock.unix_ms(),
            actor=Actor(kind=ActorKind.CONTROLLER, id=ENGINE, role=Role.OPERATOR, behind=run.actor),
            subject=subjects.of_run(run.id),
            summary=f"{run.title or run.kind}: {note.summary}",
            reason=run.reason,
            trace_id=run.trace_id,
            detail={**note.detail, **({"by": note.by} if note.by else {}), "definition": run.definition},
        )
        return [Put(key=keys.audit_joined(record.id), value=encode(fitted(record)))]
