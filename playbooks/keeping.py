"""Planners of what is kept of playbooks: versions, and what rehearsals came to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from playbooks.document.checking import Checker
from playbooks.document.model import START
from playbooks.document.reading import Source, read
from playbooks.errors import PlaybookInvalid
from playbooks.limits.starting import ENDED
from playbooks.proof import PlaybookProof
from playbooks.records import PlaybookRecord, newest, run_in, starts_of
from playbooks.requests import DeleteRequest, ProveRequest, UploadRequest, of_playbook, subject
from runtime.errors import RuntimeFault
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

NO_CYCLE: Final = "Do the steps of one of them in the other."
_WHERE: Final[tuple[str, ...]] = ("line", "key", "problems")


def refusal_of(fault: RuntimeFault) -> Refusal:
    problem = fault.problem()
    where: dict[str, Json] = {name: problem[name] for name in _WHERE if name in problem}
    return Refusal(code=fault.code, detail=str(fault), remedy=str(problem["remedy"]), where=where)


def upload_planner(checker: Callable[[], Checker]) -> Callable[[PlanState, UploadRequest], Plan | Refusal]:
    """checker: knows the whole catalogue, of which this operation is a part."""

    def plan(state: PlanState, request: UploadRequest) -> Plan | Refusal:
        try:
            source = read(request.source.encode())
            checker().check(source)
        except PlaybookInvalid as error:
            return refusal_of(error)
        cycle = _cycle(state, source)
        if cycle:
            problem = source.problem(("step",), f"playbooks that start one another form a cycle: {cycle}", NO_CYCLE)
            return refusal_of(PlaybookInvalid([problem]))
        return _kept(state, source, request)

    return plan


def _cycle(state: PlanState, source: Source) -> str:
    """Of playbooks that start playbooks, as the newest of each would with this one; empty where there is none."""
    known = {each.source.document.playbook.id: each.source for each in newest(state.unnoted)}
    known[source.document.playbook.id] = source

    def through(name: str, path: tuple[str, ...]) -> str:
        if name in path:
            return " -> ".join((*path[path.index(name) :], name))
        children = _started_by(known[name]) if name in known else ()
        return next((found for child in children if (found := through(child, (*path, name)))), "")

    return through(source.document.playbook.id, ())


def _started_by(source: Source) -> tuple[str, ...]:
    """Those that its text names; what parameters say is bounded by the depth of runs."""
    names = (step.with_.get("playbook") for step in source.document.step if step.uses == START)
    return tuple(name for name in names if isinstance(name, str))


def _kept(state: PlanState, source: Source, request: UploadRequest) -> Plan | Refusal:
    header = source.document.playbook
    before = state.value(keys.playbook(header.id, header.version))
    after = encode(
        PlaybookRecord(
            id=header.id,
            version=header.version,
            sha256=source.sha256,
            source=source.text,
            uploader=request.made.by,
            uploaded_unix_ms=request.made.at_unix_ms,
        )
    )
    same = before is not None and msgspec.json.decode(before, type=PlaybookRecord).sha256 == source.sha256
    if before is not None and not same:
        return Refusal(
            code="playbook_exists",
            detail=f"{header.id} {header.version} is there with another text",
            remedy="A version says the same for ever: give it a new one.",
        )
    return Plan(
        operation="playbook.upload",
        subject=of_playbook(header.id),
        summary=f"playbook {header.id} {header.version} is kept{' already' if same else ''}",
        changes=() if same else (KeyChange(key=keys.playbook(header.id, header.version), before=None, after=after),),
        reads=state.reads,
        inverse=Call(operation="playbook.delete", request={"playbook": header.id, "version": header.version}),
        result={"playbook": header.id, "version": header.version, "sha256": source.sha256},
    )


def plan_delete(state: PlanState, request: DeleteRequest) -> Plan | Refusal:
    key = keys.playbook(request.playbook, request.version)
    before = state.value(key)
    if before is None:
        return Refusal(
            code="playbook_not_found",
            detail=f"no version {request.version} of {request.playbook} was uploaded",
            remedy="List them: aether playbook list.",
        )
    record = msgspec.json.decode(before, type=PlaybookRecord)
    starts = starts_of(state.value(keys.playbook_starts(request.playbook))).starts
    for start in starts:
        run = run_in(state.unnoted, start.run)
        if run is not None and run.definition == record.sha256 and run.state not in ENDED:
            return Refusal(
                code="playbook_in_use",
                detail=f"run {run.id} of it has not ended",
                remedy="Wait for it, or cancel it: aether run cancel ID.",
                retryable=True,
            )
    return Plan(
        operation="playbook.delete",
        subject=subject(request),
        summary=f"playbook {request.playbook} {request.version} is kept no more",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=Call(operation="playbook.upload", request={"source": record.source}),
        result={"playbook": request.playbook, "version": request.version, "deleted": True},
    )


def plan_prove(state: PlanState, request: ProveRequest) -> Plan | Refusal:
    key = keys.playbook_proof(request.sha256)
    before = state.value(key)
    proof = PlaybookProof(
        sha256=request.sha256,
        playbook=request.playbook,
        version=request.version,
        passed=request.passed and request.failed_before and request.held_after,
        at_unix_ms=request.made.at_unix_ms,
        took_ms=request.took_ms,
        run_ms=request.run_ms,
        failed_before=request.failed_before,
        seen_failing=request.failed_before and request.seen_failing,
        held_after=request.held_after,
        detail=request.detail,
    )
    words = "passed" if proof.passed else "failed"
    return Plan(
        operation="playbook.prove",
        subject=subject(request),
        summary=f"playbook {request.playbook} {request.version} {words} its rehearsal",
        changes=() if before == encode(proof) else (KeyChange(key=key, before=before, after=encode(proof)),),
        reads=state.reads,
        result={
            "playbook": request.playbook,
            "version": request.version,
            "sha256": request.sha256,
            "passed": proof.passed,
        },
    )
