"""What was done here without a quorum enters the audit once there is one, as glass that was broken."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec

from controllers.gate.audit import AuditRecord
from playbooks.offline.journal import LINES_TOLD_MAX, JournalLine, told, untold
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.errors import RuntimeFault
from runtime.operations.plan import Json
from runtime.operations.subjects import of_node
from runtime.security.principals import bootstrap_admin

LOOK_S: Final = 5.0
DETAIL_CHARS_MAX: Final = 200
UNFINISHED_MS: Final = 3_600_000  # a run that says nothing for so long was killed


class GlassLog(Protocol):
    async def write_broken_glass(self, record: AuditRecord) -> None:
        """Once for each id. Raises RuntimeFault."""
        ...


class OfflineTelling:
    """`run` never ends: a run may be made while the node's control is up."""

    def __init__(self, *, directory: Path, node: str, log: GlassLog, lines: Lines, clock: Clock) -> None:
        self._directory = directory
        self._node = node
        self._log = log
        self._lines = lines
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except RuntimeFault as fault:  # no quorum yet
                self._lines.info("offline_runs_wait", reason=str(fault))
            await anyio.sleep(LOOK_S)

    async def look(self) -> int:
        """How many runs were told; one that has not ended is when it has, or an hour later. Raises RuntimeFault."""
        count = 0
        for path, lines in untold(self._directory):
            if lines[-1].kind != "ended" and self._clock.unix_ms() - lines[-1].at_unix_ms < UNFINISHED_MS:
                continue
            await self._log.write_broken_glass(record_of(lines, self._node))
            told(path)
            count += 1
        return count


def record_of(lines: list[JournalLine], node: str) -> AuditRecord:
    """One record of a whole run: the file has what there is no room for."""
    first, last = lines[0], lines[-1]
    given = first.detail.get("input")
    told_input = msgspec.convert(given, dict[str, Json]) if isinstance(given, dict) else {}
    outcomes = [each for each in lines if each.kind == "outcome"]
    steps: list[Json] = [_step(each) for each in outcomes[-LINES_TOLD_MAX:]]
    state = last.state if last.kind == "ended" else "unfinished"
    name = f"{told_input.get('playbook')} {told_input.get('version')}"
    return AuditRecord(
        id=first.run,
        kind="break_glass",
        at_unix_ms=first.at_unix_ms,
        actor=bootstrap_admin(),  # whoever held the node's key: nothing more is known of them
        operation="playbook.offline",
        subject=of_node(node),
        request=told_input,
        summary=f"playbook {name} was run on {node} without a quorum: {state}",
        reason=str(last.detail.get("why", ""))[:DETAIL_CHARS_MAX],
        detail={"state": state, "ended_unix_ms": last.at_unix_ms, "steps": steps, "more": len(outcomes) - len(steps)},
    )


def _step(line: JournalLine) -> Json:
    error = line.detail.get("error")
    found: dict[str, Json] = {"step": line.step, "state": line.state, "at_unix_ms": line.at_unix_ms}
    return {**found, "error": str(error)[:DETAIL_CHARS_MAX]} if error else found
