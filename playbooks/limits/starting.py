"""Whether a playbook may be started once more: pure, from when it was and how that went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from playbooks.document.duration import milliseconds
from playbooks.document.model import Limits
from playbooks.records import Start
from runtime.operations.plan import Refusal

HOUR_MS: Final = 3_600_000
FAILED: Final = frozenset({"failed", "compensated", "needs_human"})
SUCCEEDED: Final = "succeeded"
ENDED: Final = FAILED | {SUCCEEDED, "cancelled"}


def refused(
    limits: Limits,
    starts: Sequence[Start],
    states: Mapping[str, str],
    *,
    dedupe: str,
    now_unix_ms: int,
    by_person: bool,
) -> Refusal | None:
    """Why not, or None. How many run at a time holds for everybody; the rest keeps automation from doing harm again and
    again, and a person may go past it."""
    running = [start.run for start in starts if states.get(start.run, SUCCEEDED) not in ENDED]
    if len(running) >= limits.max_concurrent:
        return Refusal(
            code="playbook_busy",
            detail=f"{len(running)} of it run already: {', '.join(running[-3:])}",
            remedy="Wait for them, or cancel one: aether run cancel ID.",
            retryable=True,
        )
    if by_person:
        return None
    return _too_soon(limits, starts, dedupe, now_unix_ms) or _broken(limits, starts, states)


def _too_soon(limits: Limits, starts: Sequence[Start], dedupe: str, now_unix_ms: int) -> Refusal | None:
    pause_ms = milliseconds(limits.cooldown)
    last = max((start.at_unix_ms for start in starts if start.dedupe == dedupe), default=None)
    if last is not None and now_unix_ms - last < pause_ms:
        left_s = (pause_ms - (now_unix_ms - last)) // 1_000
        return Refusal(
            code="playbook_cooling_down",
            detail=f"it was started for the same reason less than {limits.cooldown} ago; {left_s} s are left",
            remedy="A person may start it all the same.",
            retryable=True,
        )
    lately = sum(now_unix_ms - start.at_unix_ms < HOUR_MS for start in starts)
    if lately >= limits.max_per_hour:
        return Refusal(
            code="playbook_too_often",
            detail=f"it was started {lately} times within an hour",
            remedy="Look for the cause; a person may start it all the same.",
            retryable=True,
        )
    return None


def _broken(limits: Limits, starts: Sequence[Start], states: Mapping[str, str]) -> Refusal | None:
    ended = [states[start.run] for start in starts if states.get(start.run) in ENDED - {"cancelled"}]
    last = ended[-limits.breaker :]
    if len(last) < limits.breaker or any(state not in FAILED for state in last):
        return None
    return Refusal(
        code="playbook_breaker_open",
        detail=f"the last {len(last)} runs failed; only people start it until one succeeds",
        remedy="Read why: aether run list; then start it by hand.",
    )
