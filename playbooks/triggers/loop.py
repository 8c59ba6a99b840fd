"""The shell around the triggers' decisions: looks at alerts, events and the clock, and submits what shall start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from controllers.journal.trigger_marks import TriggerMarks
from playbooks.document.model import Triggers
from playbooks.ports import PlaybookPorts
from playbooks.proof import is_proven
from playbooks.records import Known, newest
from playbooks.starting import Makers
from playbooks.triggers.decide import Active, SeenAlert, SeenEvent, Start, for_alerts, for_event, for_time, ticks_of
from playbooks.triggers.outdated import TRIGGER, outdated
from runtime.deployment.records import Snapshot
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.state import keys

LOOK_S: Final = 1.0
AGAIN_MS: Final = 30_000  # before what was refused for a while is tried again
HELD_MS: Final = 600_000  # for so long an event, or a time, that was refused for a while is tried
TRIED_MAX: Final = 10_000
EVENTS_MAX: Final = 1_000  # that wait here; further ones wait where they come from
NOTED_MS: Final = 30_000  # between two notes of how far events have come, where they start nothing
RESET: Final = "Reset"  # events are gone where they come from
OVER: Final = frozenset({"playbook_cooling_down", "playbook_too_often"})
"""What was refused so shall not start again and again: with an event, or a time, it is over. An alert lasts."""


class Marks(Protocol):
    """Where it is noted. Raises StoreFault."""

    async def read(self) -> TriggerMarks: ...

    async def write(self, marks: TriggerMarks, fence: int) -> None:
        """Only while that leadership stands."""
        ...


Alerts = Callable[[], Sequence[SeenAlert]]
Events = Callable[[str], AsyncIterator[SeenEvent]]
"""Those behind an id, and all later ones."""


class Held(NamedTuple):
    """A start for an event, or a time, that was refused for a while."""

    start: Start
    until_unix_ms: int


class TriggerLoop:
    """`run` is a leader service; `look` is one look. Every start has an idempotency key of its own: two leaders, or
    one that looks again, start nothing twice. How far events and schedules have come stands in the state, noted once
    what they start was submitted: whoever leads next goes on from there."""

    def __init__(self, *, ports: PlaybookPorts, makers: Makers, alerts: Alerts, events: Events, marks: Marks) -> None:
        self._ports = ports
        self._makers = makers
        self._alerts = alerts
        self._events = events
        self._kept = marks
        self._noted = TriggerMarks()
        self._noted_ms = 0
        self._event = ""
        """The last one that was looked at."""
        self._has_submitted = False
        self._tried: dict[str, int] = {}
        """By the start's key, when it may be tried again."""
        self._held: dict[str, Held] = {}

    async def run(self, fence: int) -> None:
        """Raises StoreFault; begun again, it goes on from what was noted."""
        await self.begin(fence)
        send, receive = anyio.create_memory_object_stream[SeenEvent](EVENTS_MAX)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, self._event, send)
            while True:
                waiting = [receive.receive_nowait() for _ in range(receive.statistics().current_buffer_used)]
                await self.look(events=waiting)
                await self.note(fence)
                await anyio.sleep(LOOK_S)

    async def begin(self, fence: int) -> None:
        """Where no event was ever heeded, they count from when this leadership began."""
        self._tried.clear()
        self._held.clear()
        self._noted = await self._kept.read()
        self._noted_ms = self._ports.clock.unix_ms()
        self._event = self._noted.event or f"{fence}.0"

    async def look(self, *, events: Sequence[SeenEvent] = ()) -> list[Start]:
        """What was submitted. Raises StoreFault."""
        now_ms = self._ports.clock.unix_ms()
        active = self._active()
        nodes = len(self._ports.state.items(keys.NODES))
        self._give_up(active, now_ms)
        alerts = self._alerts()
        wanted = [
            *for_alerts(active, alerts, nodes=nodes, now_unix_ms=now_ms),
            *(each.start for each in self._held.values()),
            *(start for event in events for start in for_event(active, event)),
            *for_time(active, marks=self._noted.ticks, now_unix_ms=now_ms),
        ]
        due = [each for each in wanted if self._tried.get(each.key, 0) <= now_ms]
        for start in due:
            await self._submit(start, now_ms)
        await self._take_back({each.key for each in alerts})
        self._has_submitted = self._has_submitted or bool(due)
        self._event = events[-1].id if events else self._event
        return due

    async def note(self, fence: int) -> None:
        """How far triggers have come, if that is worth a write: at once where something was asked for, or a time came.
        What is held has not come: another leader must look at it again. Raises StoreFault."""
        active, now_ms = self._active(), self._ports.clock.unix_ms()
        held = {str(each.start.trigger["kind"]) for each in self._held.values()}
        heeds = any(each.source.document.trigger.event for each in active)
        marks = TriggerMarks(
            event=self._event if heeds and "event" not in held else self._noted.event,
            ticks=self._noted.ticks if "schedule" in held else ticks_of(active, now_ms),
        )
        is_due = marks.ticks != self._noted.ticks or self._has_submitted or now_ms - self._noted_ms >= NOTED_MS
        if marks != self._noted and is_due:
            await self._kept.write(marks, fence)
            self._noted, self._noted_ms, self._has_submitted = marks, now_ms, False

    def _active(self) -> list[Active]:
        state = self._ports.state
        return [
            Active(source=each.source, proven=is_proven(state, each.source.sha256), since=_since(state, each))
            for each in newest(state)
            if _has_triggers(each.source.document.trigger)
        ]

    async def _take_back(self, lasting: Collection[str]) -> None:
        """What was proposed for alerts that have ended, and nobody has decided about."""
        for proposal in list(outdated(self._ports.state, lasting)):
            await self._ports.recalls.withdraw(proposal.id, proposal.actor, "its alert has ended")
            self._ports.log.info("trigger_withdrawn", proposal=proposal.id, subject=proposal.subject)

    def _give_up(self, active: Sequence[Active], now_ms: int) -> None:
        """What was held for too long, or whose playbook is gone."""
        names = {each.source.document.playbook.id for each in active}
        for key, (start, until_ms) in list(self._held.items()):
            if until_ms <= now_ms or start.playbook not in names:
                del self._held[key]
                self._ports.log.warning("trigger_given_up", playbook=start.playbook, why=start.why)

    async def _submit(self, start: Start, now_ms: int) -> None:
        self._note(start, None)
        if start.problem:
            self._ports.log.warning("trigger_failed", playbook=start.playbook, why=start.why, reason=start.problem)
            return
        actor = self._actor(start)
        outcome = await self._ports.dispatcher.submit(
            Submission(
                operation="playbook.run",
                request={
                    "playbook": start.playbook,
                    "version": start.version,
                    "params": start.params,
                    "dedupe": start.dedupe,
                },
                actor=actor,
                reason=start.why,
                evidence=start.evidence,
                idempotency_key=start.key,
                propose=start.mode == "propose",
                made=self._makers.run_of(actor, start.trigger),
            )
        )
        held = self._held.pop(start.key, None)
        match outcome:
            case Refused():
                self._refused(start, held, outcome, now_ms)
                self._ports.log.warning("trigger_refused", playbook=start.playbook, why=start.why, code=outcome.code)
            case Applied() | Proposed() if not outcome.repeated:
                proposed = isinstance(outcome, Proposed)
                self._ports.log.info("trigger_fired", playbook=start.playbook, why=start.why, proposed=proposed)

    def _refused(self, start: Start, held: Held | None, refusal: Refused, now_ms: int) -> None:
        lasts = start.trigger["kind"] == "alert"
        if not refusal.retryable or (refusal.code in OVER and not lasts):
            return
        self._note(start, now_ms + AGAIN_MS)
        if not lasts:
            self._held[start.key] = held or Held(start, now_ms + HELD_MS)

    def _note(self, start: Start, again_ms: int | None) -> None:
        """None: not again while this leader leads."""
        if len(self._tried) >= TRIED_MAX:
            self._tried.pop(next(iter(self._tried)))
        self._tried[start.key] = again_ms if again_ms is not None else 1 << 62

    def _actor(self, start: Start) -> Actor:
        """The trigger acts for who uploaded the playbook, and may do no more. One of the package may do what it says:
        nobody has changed it, and what is grave in it waits for admins."""
        known = next(each for each in newest(self._ports.state) if each.source.document.playbook.id == start.playbook)
        behind = known.record.uploader if known.record is not None else None
        return Actor(
            kind=ActorKind.PLAYBOOK,
            id=f"{TRIGGER}{start.playbook}",
            role=behind.role if behind is not None else Role.ADMIN,
            behind=behind,
        )

    async def _listen(self, after: str, send: MemoryObjectSendStream[SeenEvent]) -> None:
        async for event in self._events(after):
            if event.event == RESET:
                self._ports.log.warning("trigger_events_lost", after=event.id)
            else:
                await send.send(event)


def _has_triggers(triggers: Triggers) -> bool:
    return bool(triggers.alert or triggers.schedule or triggers.event)


def _since(state: Snapshot, known: Known) -> int:
    """The revision that it was uploaded at; none for one of the package."""
    header = known.source.document.playbook
    item = state.get(keys.playbook(header.id, header.version)) if known.record is not None else None
    return int(item.create_revision) if item is not None else 0
