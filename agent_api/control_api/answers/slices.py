"""Answers about slices, their instances, routes and figures."""

from __future__ import annotations

from typing import Final

import msgspec

from agent_api.control_api.answers.known import check_node, check_slice
from agent_api.control_api.answers.rows import instance_rows, slice_rows
from agent_api.control_api.answers.standing import edges_of, waits_of
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import NotFound, SliceUnknown
from controllers.gate.circumstances import frozen_because, incident_at
from controllers.gate.reading import newest_of
from runtime.deployment.topology import topology_of
from runtime.operations import subjects
from runtime.operations.actor import Actor
from runtime.operations.queries.page import page_of
from runtime.operations.queries.slices import (
    ChangeRow,
    InstanceListRequest,
    InstancePage,
    InstanceRow,
    MethodLoadRequest,
    MethodLoadShown,
    MethodRow,
    MetricRequest,
    MetricShown,
    NeedRow,
    RouteListRequest,
    RoutePage,
    RouteRow,
    SliceExplained,
    SliceListRequest,
    SlicePage,
    SliceRequest,
    SliceRow,
    SliceShown,
)
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state.values import SliceTarget
from runtime.telemetry.alerts import kept
from runtime.telemetry.methods import MethodLoad

CHANGES_TOLD: Final = 10
INSTANCES_TOLD: Final = 1_000


class SliceAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._view = parts.view

    async def slices(self, request: SliceListRequest, _actor: Actor) -> SlicePage:
        page, cursor = page_of(self._view.targets(), lambda each: (each.settings.slice, each.settings.version), request)
        return SlicePage(items=tuple(slice_rows(self._view, tuple(page))), next=cursor)

    async def instances(self, request: InstanceListRequest, _actor: Actor) -> InstancePage:
        if request.slice:
            check_slice(self._view, request.slice)
        if request.node:
            check_node(self._view, request.node)
        rows = instance_rows(self._view, slice_name=request.slice, node=request.node)
        page, cursor = page_of(rows, _place, request)
        return InstancePage(items=tuple(page), next=cursor)

    async def routes(self, request: RouteListRequest, _actor: Actor) -> RoutePage:
        page, cursor = page_of(self._routes(), lambda row: (row.path, row.method, row.slice, row.version), request)
        return RoutePage(items=tuple(page), next=cursor)

    def _routes(self) -> list[RouteRow]:
        serving = {(each.slice, each.version) for each in self._view.endpoints()}
        return [
            RouteRow(
                method=route.method,
                path=route.path,
                slice=contract.name,
                version=contract.version,
                handler=method.name,
                idempotent=method.idempotent,
            )
            for contract in self._view.contracts()
            if (contract.name, contract.version) in serving
            for method in contract.methods
            for route in method.routes
        ]

    async def metric(self, request: MetricRequest, _actor: Actor) -> MetricShown:
        found = await self._parts.telemetry.window(request.slice)
        if found is None:
            known = {each.settings.slice for each in self._view.targets()}
            raise NotFound(f"there are no figures of slice {request.slice!r}{nearest(request.slice, known)}")
        return msgspec.convert(found, MetricShown)

    async def methods(self, request: MethodLoadRequest, _actor: Actor) -> MethodLoadShown:
        """Raises SliceUnknown."""
        versions = [each.settings.version for each in self._targets(request.slice)]
        told = await self._parts.telemetry.methods(request.slice)
        shown = msgspec.convert({"slice": request.slice, **told}, MethodLoadShown)
        called = {(each.method, each.version) for each in shown.methods}
        contracts = [self._view.contract(request.slice, version) for version in versions]
        resting = [
            MethodLoad(method=method.name, version=contract.version)
            for contract in contracts
            if contract is not None
            for method in contract.methods
            if (method.name, contract.version) not in called
        ]
        rows = sorted((*shown.methods, *resting), key=lambda each: (each.method, each.version))
        return msgspec.structs.replace(shown, methods=tuple(rows))

    async def show(self, request: SliceRequest, _actor: Actor) -> SliceShown:
        targets = self._targets(request.slice)
        contract = self._view.contract(request.slice, targets[-1].settings.version)
        edges = [each for each in edges_of(self._view) if each.slice == request.slice]
        instances = sorted(instance_rows(self._view, slice_name=request.slice), key=_place)
        methods = contract.methods if contract is not None else ()
        return SliceShown(
            slice=request.slice,
            versions=tuple(slice_rows(self._view, targets)),
            instances=tuple(instances[:INSTANCES_TOLD]),
            methods=tuple(
                MethodRow(
                    name=each.name,
                    idempotent=each.idempotent,
                    routes=tuple(f"{route.method} {route.path}" for route in each.routes),
                )
                for each in methods
            ),
            requires=tuple(each.requires for each in edges if not each.optional),
            optional=tuple(each.requires for each in edges if each.optional),
            dependants=topology_of(self._view).dependants(request.slice),
        )

    async def explain(self, request: SliceRequest, _actor: Actor) -> SliceExplained:
        """Raises SliceUnknown. The newest changes are looked for among those that the store holds."""
        name = request.slice
        versions = slice_rows(self._view, self._targets(name))
        instances = [each for each in instance_rows(self._view, slice_name=name) if not each.serving]
        edges = [each for each in edges_of(self._view) if each.slice == name]
        subject = subjects.of_slice(name)
        blueprints = {subjects.of_blueprint(each.blueprint) for each in versions}
        records = await newest_of(self._parts.store, {subject, *blueprints}, CHANGES_TOLD)
        state = PlanState(self._view.cache)
        explained = SliceExplained(
            slice=name,
            sentences=(),
            versions=tuple(versions),
            instances=tuple(sorted(instances, key=_place)[:INSTANCES_TOLD]),
            requires=tuple(
                NeedRow(slice=each.requires, serving=len(self._view.endpoints_of(each.requires)))
                for each in edges
                if not each.optional
            ),
            changes=tuple(
                ChangeRow(
                    audit=each.id,
                    kind=each.kind,
                    at_unix_ms=each.at_unix_ms,
                    actor=each.actor.id,
                    operation=each.operation,
                    summary=each.summary,
                    reason=each.reason,
                    rule=each.rule,
                    touched=each.touched,
                )
                for each in records
            ),
            alerts=tuple(self._alerts(name)),
            incident=incident_at(state, (subject,)),
            freeze=frozen_because(state, (subject,)),
        )
        waits = {row.version: waits_of(row, edges, instances) for row in versions if row.serving < row.wanted}
        return msgspec.structs.replace(explained, sentences=tuple(_sentences(explained, waits)))

    def _targets(self, name: str) -> tuple[SliceTarget, ...]:
        """Raises SliceUnknown, also for one whose last instances are on their way out."""
        found = self._view.targets_of(name)
        if not found:
            known = {each.settings.slice for each in self._view.targets()}
            raise SliceUnknown(f"slice {name!r} is not deployed{nearest(name, known)}")
        return found

    def _alerts(self, name: str) -> list[str]:
        return [
            f"{each.alert.labels.get('alertname', '')} ({each.alert.severity}): "
            f"{each.alert.annotations.get('summary', '')}; it was {each.alert.value:g} when the alert began"
            for each in kept.alerts(self._view.cache)
            if each.alert.lasts and each.alert.labels.get("slice") == name
        ]


def _place(row: InstanceRow) -> tuple[str, str, int]:
    return row.slice, row.node, row.number


def _sentences(found: SliceExplained, waits: dict[str, tuple[str, ...]]) -> list[str]:
    told = [_standing(row, waits.get(row.version, ())) for row in found.versions]
    if found.incident:
        told.append(f"an incident is open: {found.incident}")
    if found.freeze:
        told.append(f"changes are frozen: {found.freeze}")
    told += [f"alert: {each}" for each in found.alerts]
    done = next((each for each in found.changes if each.kind in ("applied", "break_glass", "rolled_back")), None)
    if done is not None:
        because = f", because: {done.reason}" if done.reason else ""
        told.append(f"last change: {done.summary}, by {done.actor}{because}")
    return told


def _standing(row: SliceRow, why: tuple[str, ...]) -> str:
    words = f"{row.serving} of {row.wanted} wanted instances of {row.slice} {row.version} serve"
    return f"{words}: {'; '.join(why)}" if why else words
