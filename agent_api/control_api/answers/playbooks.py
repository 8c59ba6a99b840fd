"""Answers about playbooks: which there are, what each says, and what it would do now."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from playbooks.actions.shelf import builtin_actions
from playbooks.actions.standing import actor_for
from playbooks.document.checking import Checker
from playbooks.document.model import Step, Triggers
from playbooks.document.parameters import checked
from playbooks.document.triggers import told_of
from playbooks.proof import proof_of
from playbooks.queries import (
    PlanRequest,
    PlaybookListRequest,
    PlaybookPage,
    PlaybookPlanned,
    PlaybookRequest,
    PlaybookRow,
    PlaybookShown,
    StepRow,
    TriggerRow,
)
from playbooks.records import Known, all_known, find, order_of, starts_of
from runtime.operations.actor import Actor
from runtime.operations.queries.page import page_of
from runtime.state import keys


class PlaybookAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._cache = parts.view.cache
        self._checker = Checker(parts.catalogue, builtin_actions())

    async def playbooks(self, request: PlaybookListRequest, _actor: Actor) -> PlaybookPage:
        def place(known: Known) -> tuple[str | int, ...]:
            header = known.source.document.playbook
            return (header.id, *order_of(header.version))

        page, cursor = page_of(all_known(self._cache), place, request)
        return PlaybookPage(items=tuple(self._row(each) for each in page), next=cursor)

    async def show(self, request: PlaybookRequest, _actor: Actor) -> PlaybookShown:
        """Raises PlaybookUnknown."""
        known = find(self._cache, request.playbook, request.version)
        source, document = known.source, known.source.document
        proof = proof_of(self._cache, source.sha256)
        header = document.playbook
        return PlaybookShown(
            playbook=header.id,
            version=header.version,
            sha256=source.sha256,
            kind=header.kind,
            risk=header.risk,
            summary=header.summary,
            rehearsed=self._rehearsed(source.sha256),
            rehearsed_unix_ms=proof.at_unix_ms if proof is not None else 0,
            rehearsal_ms=proof.took_ms if proof is not None else 0,
            origin=_origin(known),
            offline=header.offline,
            triggers=_triggers(document.trigger),
            params=document.params,
            locks=document.locks,
            limits=document.limits,
            steps=tuple(self._step(each) for each in document.step),
            source=source.text,
        )

    async def plan(self, request: PlanRequest, actor: Actor) -> PlaybookPlanned:
        """Raises PlaybookUnknown, ParametersInvalid."""
        source = find(self._cache, request.playbook, request.version).source
        params = checked(source.document.params, request.params)
        return await self._parts.run_planner.plan(source, params, actor_for(actor, request.playbook))

    def _row(self, known: Known) -> PlaybookRow:
        header = known.source.document.playbook
        item = self._cache.get(keys.playbook_starts(header.id))
        starts = starts_of(item.value if item is not None else None).starts
        return PlaybookRow(
            playbook=header.id,
            version=header.version,
            kind=header.kind,
            risk=header.risk,
            summary=header.summary,
            rehearsed=self._rehearsed(known.source.sha256),
            origin=_origin(known),
            offline=header.offline,
            last_started_unix_ms=starts[-1].at_unix_ms if starts else 0,
            sha256=known.source.sha256,
            triggers=_triggers(known.source.document.trigger),
            limits=known.source.document.limits,
        )

    def _rehearsed(self, sha256: str) -> str:
        proof = proof_of(self._cache, sha256)
        return "" if proof is None else "passed" if proof.passed else "failed"

    def _step(self, step: Step) -> StepRow:
        used = self._checker.used(step.uses)
        undo = step.undo if isinstance(step.undo, str) or step.undo is None else step.undo.uses or "none"
        return StepRow(
            step=step.id,
            uses=step.uses,
            effect=used.effect.value if used is not None else "unknown",
            verify=step.verify.cel if step.verify is not None else "",
            undo=undo or "",
            on_failure=step.on_failure,
        )


def _origin(known: Known) -> str:
    return known.record.uploader.id if known.record is not None else "package"


def _triggers(triggers: Triggers) -> tuple[TriggerRow, ...]:
    return tuple(TriggerRow(**each._asdict()) for each in told_of(triggers))
