"""Answers about blueprints and artifacts."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined
from runtime.deployment.blueprint import parse
from runtime.deployment.errors import DeploymentFault
from runtime.names import BlueprintId
from runtime.operations.actor import Actor
from runtime.operations.blueprints import ApplyRequest, plan_apply, refusal_of
from runtime.operations.dispatch import Refused
from runtime.operations.plan import Plan, Refusal
from runtime.operations.queries.blueprints import (
    ArtifactListRequest,
    ArtifactPage,
    ArtifactRow,
    BlueprintListRequest,
    BlueprintPage,
    BlueprintRequest,
    BlueprintRow,
    BlueprintShown,
    BlueprintValidated,
    ValidateRequest,
)
from runtime.operations.queries.page import page_of
from runtime.operations.refusals import blueprint_unknown
from runtime.operations.state import PlanState


class BlueprintAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._view = parts.view

    async def blueprints(self, request: BlueprintListRequest, _actor: Actor) -> BlueprintPage:
        page, cursor = page_of(self._view.blueprints(), lambda each: (each.blueprint,), request)
        rows = (BlueprintRow(blueprint=each.blueprint, source=each.source, slices=each.slices) for each in page)
        return BlueprintPage(items=tuple(rows), next=cursor)

    async def show(self, request: BlueprintRequest, _actor: Actor) -> BlueprintShown:
        record = self._view.blueprint(BlueprintId(request.blueprint))
        if record is None:
            refusal = blueprint_unknown(PlanState(self._view.cache), request.blueprint)
            raise Declined(Refused(code=refusal.code, detail=refusal.detail, remedy=refusal.remedy))
        targets = [each for each in self._view.targets() if each.blueprint == record.blueprint]
        wanted = {f"{each.settings.slice} {each.settings.version}": each.wanted for each in targets}
        return BlueprintShown(blueprint=record.blueprint, source=record.source, slices=record.slices, wanted=wanted)

    async def validate(self, request: ValidateRequest, _actor: Actor) -> BlueprintValidated:
        """Against what this node knows of the cluster."""
        planned = self._planned(request.source)
        if isinstance(planned, Refusal):
            return BlueprintValidated(
                valid=False,
                code=planned.code,
                detail=planned.detail,
                remedy=planned.remedy,
                where=planned.where,
            )
        return BlueprintValidated(
            valid=True,
            summary=planned.summary,
            slices=tuple(str(each) for each in _listed(planned, "slices")),
            routes=tuple(str(each) for each in _listed(planned, "routes")),
        )

    def _planned(self, source: str) -> Plan | Refusal:
        try:
            name = parse(source.encode()).blueprint
        except DeploymentFault as fault:
            return refusal_of(fault)
        return plan_apply(PlanState(self._view.cache), ApplyRequest(blueprint=name, source=source))

    async def artifacts(self, request: ArtifactListRequest, _actor: Actor) -> ArtifactPage:
        page, cursor = page_of(self._view.artifacts(), lambda each: (each.name, each.version), request)
        rows = (
            ArtifactRow(
                name=each.name,
                version=each.version,
                sha256=each.sha256,
                size_bytes=each.size_bytes,
                slices=tuple(f"{contract.name} {contract.version}" for contract in each.slices),
                pins=each.pins,
                uploaded_unix_ms=each.uploaded_unix_ms,
            )
            for each in page
        )
        return ArtifactPage(items=tuple(rows), next=cursor)


def _listed(plan: Plan, name: str) -> list[object]:
    found = plan.result.get(name)
    return found if isinstance(found, list) else []
