"""The planner of a start: a queued run, if the playbook's limits and who asks allow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from playbooks.actions.standing import KIND
from playbooks.document.checking import Checker, verify_s
from playbooks.document.model import VERIFY_S_MAX, Document
from playbooks.document.parameters import checked
from playbooks.document.reading import Source
from playbooks.document.templates import filled, limit_s
from playbooks.errors import ParametersInvalid, PlaybookUnknown
from playbooks.keeping import refusal_of
from playbooks.limits.starting import refused
from playbooks.proof import is_proven
from playbooks.records import Known, Start, find, starts_of, states_of
from playbooks.requests import RunMade, RunRequest, subject
from runtime.operations.actor import Role, at_least
from runtime.operations.plan import Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode
from runtime.workflow.records import LockWish, RunRecord
from runtime.workflow.starting import start


def run_planner(checker: Callable[[], Checker]) -> Callable[[PlanState, RunRequest], Plan | Refusal]:
    """checker: knows which role each step's operation needs."""

    def plan(state: PlanState, request: RunRequest) -> Plan | Refusal:
        return _plan(state, request, checker())

    return plan


def _plan(state: PlanState, request: RunRequest, checker: Checker) -> Plan | Refusal:
    """A queued run, or the one that does the same already where the playbook says join. Starts of one playbook compare
    one key, so that its limits hold however many are asked for."""
    try:
        known = find(state.unnoted, request.playbook, request.version)
        params = checked(known.source.document.params, request.params)
    except (PlaybookUnknown, ParametersInvalid) as fault:
        return refusal_of(fault)
    header = known.source.document.playbook
    state.get(keys.playbook(header.id, header.version))
    made = request.made
    if header.offline:
        return Refusal(
            code="playbook_offline",
            detail=f"{header.id} is for where quorum is gone",
            remedy=f"On the node itself: aether playbook offline {header.id} --data DIR",
        )
    refusal = _not_trusted(state, known, made) or _beyond_role(known, checker, request) or _too_long(known, params)
    if refusal is not None:
        return refusal
    started = start(state, _queued(known.source, params, made))
    if isinstance(started, Refusal):
        return started
    if started.joined:
        return _joined(state, request, known, started.run)
    plan = Plan(
        operation="playbook.run",
        subject=subject(request),
        summary=f"playbook {header.id} {header.version} is started: {header.summary}",
        changes=started.changes,
        agents_may=_agents_may(state, known),
        result={
            "run": started.run,
            "playbook": header.id,
            "version": header.version,
            "sha256": known.source.sha256,
        },
    )
    return _counted(state, known, request, plan)


def _counted(state: PlanState, known: Known, request: RunRequest, plan: Plan) -> Plan | Refusal:
    """The start noted with those before it, if the playbook's limits allow one more."""
    document, made = known.source.document, request.made
    key = keys.playbook_starts(document.playbook.id)
    before = state.value(key)
    starts = starts_of(before)
    too_much = refused(
        document.limits,
        starts.starts,
        states_of(state.unnoted, starts.starts),
        dedupe=request.dedupe,
        now_unix_ms=made.at_unix_ms,
        by_person=made.by.is_human,
    )
    if too_much is not None:
        return too_much
    after = starts.with_start(Start(run=made.run, at_unix_ms=made.at_unix_ms, dedupe=request.dedupe))
    noted = KeyChange(key=key, before=before, after=encode(after))
    return msgspec.structs.replace(plan, changes=(*plan.changes, noted), reads=state.reads)


def _not_trusted(state: PlanState, known: Known, made: RunMade) -> Refusal | None:
    """What automation starts must have been rehearsed; an AI agent may only start what says so, or changes nothing."""
    header = known.source.document.playbook
    automatic = str(made.trigger.get("kind")) in ("alert", "event") and made.trigger.get("mode") == "run"
    if automatic and not _is_trusted(state, known):
        return Refusal(
            code="playbook_not_rehearsed",
            detail=f"{header.id} {header.version} has not passed a rehearsal as it is",
            remedy="Rehearse it: aether playbook rehearse; or let a person start it.",
        )
    if made.by.acts_as_agent and header.risk != "read-only" and known.source.document.trigger.model is None:
        return Refusal(
            code="playbook_not_for_agents",
            detail=f"{header.id} {header.version} is not for AI agents to start",
            remedy="A person may start it; or its author adds [trigger.model].",
        )
    return None


def _is_trusted(state: PlanState, known: Known) -> bool:
    """Nobody needs to look before it is started: it has passed a rehearsal as it is."""
    state.get(keys.playbook_proof(known.source.sha256))
    return is_proven(state.unnoted, known.source.sha256)


def _agents_may(state: PlanState, known: Known) -> bool:
    """Start it at once, as its `[trigger.model]` says; whatever it does not say, people decide about."""
    model = known.source.document.trigger.model
    return model is not None and model.mode == "run" and _is_trusted(state, known)


def _beyond_role(known: Known, checker: Checker, request: RunRequest) -> Refusal | None:
    """Steps that who starts it may not take would stop the run halfway, where only part of it is done."""
    needed = checker.admin_steps(known.source.document)
    lacking = next((each for each in request.made.by.chain() if not at_least(each.role, Role.ADMIN)), None)
    if request.anyway or not needed or lacking is None:
        return None
    return Refusal(
        code="playbook_needs_role",
        detail=f"{', '.join(needed)} need the role admin, and {lacking.id} is {lacking.role}",
        remedy="Let an admin start it; or say anyway, where you know that these steps will not be wanted.",
    )


def _too_long(known: Known, params: Mapping[str, Json]) -> Refusal | None:
    """Limits that parameters give are known with the start alone."""
    document = known.source.document
    wanted = {"verify": document.verify} | {f"{step.id}.verify": step.verify for step in document.step}
    for name, each in wanted.items():
        if each is not None and verify_s(each, params) > VERIFY_S_MAX:
            told = f"{name}: within and hold are more than a day with these parameters"
            return Refusal(code="parameters_invalid", detail=told, remedy="Give it less time.")
    return None


def _joined(state: PlanState, request: RunRequest, known: Known, run: str) -> Plan:
    """The same is being done already: whoever asks gets that run."""
    header = known.source.document.playbook
    return Plan(
        operation="playbook.run",
        subject=subject(request),
        summary=f"playbook {header.id} {header.version} goes on as run {run}, which was started with the same",
        changes=(),
        reads=state.reads,
        result={"run": run, "playbook": header.id, "version": header.version, "sha256": known.source.sha256},
    )


def _queued(source: Source, params: dict[str, Json], made: RunMade) -> RunRecord:
    header = source.document.playbook
    return RunRecord(
        id=made.run,
        kind=KIND,
        title=f"{header.id} {header.version}",
        definition=source.sha256,
        input={"playbook": header.id, "version": header.version, "params": params},
        actor=made.by,
        trigger=made.trigger,
        parent=made.parent,
        locks=_locks(source.document, params),
        on_conflict=source.document.locks.on_conflict,
        limit_s=round(limit_s(header.deadline, params)),
        created_unix_ms=made.at_unix_ms,
    )


def _locks(document: Document, params: dict[str, Json]) -> tuple[LockWish, ...]:
    """Each name once; exclusive where it is both."""
    shared = {str(filled(text, params)) for text in document.locks.shared}
    exclusive = {str(filled(text, params)) for text in document.locks.exclusive}
    wishes = [LockWish(name=name, mode="exclusive" if name in exclusive else "shared") for name in exclusive | shared]
    return tuple(sorted(wishes, key=lambda each: each.name))
