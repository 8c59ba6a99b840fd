"""What must hold at the end of every story, whatever died in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controllers.gate.audit import AuditBroken, AuditRecord, Place, read_chained, read_link, verify
from evals.workflow.counting import ADD, COUNTERS, TAKE, count_in
from evals.workflow.three_steps import Bank
from runtime.state import keys
from runtime.workflow.records import RunRecord, RunState, StepRecord

COUNTED: Final = ("apply", "approve")


class BrokenRun(Exception):
    """A promise that was not kept; the sentence says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """asked: runs whose beginning somebody asked for. parked: those that a person was seen to be needed for.
    items: the whole store."""

    asked: Sequence[str]
    fails: Mapping[str, bool]
    cancelled: bool
    parked: frozenset[str]
    runs: Mapping[str, RunRecord]
    steps: Mapping[str, Sequence[StepRecord]]
    outside: Bank
    items: Mapping[str, bytes]


def check(seen: Seen) -> None:
    """Raises BrokenRun."""
    audit = _audit(seen)
    for run in seen.asked:
        _none_is_lost_or_silent(seen, run, audit)
        _operations_took_effect_once(seen, run, audit)
        _charged_once_and_told(seen, run)
        _ends_as_it_should(seen, run)
    _nothing_is_left(seen)


def _audit(seen: Seen) -> list[AuditRecord]:
    raw = [value for key, value in sorted(seen.items.items()) if key.startswith(keys.AUDIT)]
    try:
        links = [read_link(each) for each in raw]
        before = Place(number=links[0].number - 1, hash=links[0].previous) if links else None
        verify(links, before)  # the oldest may be content by now
    except AuditBroken as error:
        raise BrokenRun(f"the audit does not hold: {error}") from error
    return [read_chained(each).record for each in raw]


def _none_is_lost_or_silent(seen: Seen, run: str, audit: Sequence[AuditRecord]) -> None:
    record = seen.runs.get(run)
    if record is None or not record.ended:
        raise BrokenRun(f"{run} is lost: {record.state if record is not None else 'it never began'}")
    told = Counter(each.kind for each in audit if each.subject == f"run:{run}")
    if told["run_ended"] != 1:
        raise BrokenRun(f"the audit tells {told['run_ended']} ends of {run}")
    if run in seen.parked and not told["run_parked"]:
        raise BrokenRun(f"{run} needed a person, and the audit does not say so")


def _operations_took_effect_once(seen: Seen, run: str, audit: Sequence[AuditRecord]) -> None:
    """By the audit's own count, and by the counter that every application moves."""
    states = {each.step: each.state for each in seen.steps[run]}
    for step in COUNTED:
        name = f"{run}-{step}"
        made = Counter(each.operation for each in audit if each.kind == "applied" and each.request.get("name") == name)
        if made[ADD] > 1 or made[TAKE] > made[ADD]:
            raise BrokenRun(f"{name} was added {made[ADD]} times and taken {made[TAKE]} times")
        value = count_in(seen.items.get(f"{COUNTERS}{name}"))
        expected = 1 if states.get(step) == "done" else 0
        if value != made[ADD] - made[TAKE] or value != expected:
            raise BrokenRun(f"{name} is {value}, its step {states.get(step)}, the audit says {dict(made)}")


def _charged_once_and_told(seen: Seen, run: str) -> None:
    key = f"{run}/charge"
    if seen.outside.charges(key) > 1:
        raise BrokenRun(f"{key} took effect {seen.outside.charges(key)} times")
    state = next((each.state for each in seen.steps[run] if each.step == "charge"), "")
    stands = seen.outside.stands(key)
    if stands != (1 if state == "done" else 0):
        raise BrokenRun(f"the effect of {key} stands {stands} times, and its step is {state or 'not begun'}")


def _ends_as_it_should(seen: Seen, run: str) -> None:
    state, fails = seen.runs[run].state, seen.fails[run]
    if seen.cancelled and run == seen.asked[0]:
        possible = {RunState.CANCELLED, RunState.COMPENSATED if fails else RunState.SUCCEEDED}
    else:
        possible = {RunState.COMPENSATED if fails else RunState.SUCCEEDED}
    if state not in possible:
        error = seen.runs[run].error
        raise BrokenRun(f"{run} is {state}, not {' or '.join(possible)}: {error}")


def _nothing_is_left(seen: Seen) -> None:
    left = [key for key in seen.items if key.startswith((keys.RUN_LOCKS, keys.AUDIT_JOINED, keys.AUDIT_FRESH))]
    if left:
        raise BrokenRun(f"left behind: {', '.join(left)}")
