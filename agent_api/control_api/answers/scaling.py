"""Answers about scaling: from this node's own watch, and from the records in the store."""

from __future__ import annotations

import msgspec

from agent_api.control_api.ports import ApiParts
from controllers.journal.decisions import read_records
from controllers.scaling.config import ScalingConfig
from controllers.scaling.judging import Judgement
from controllers.scaling.queries import (
    ControllerPage,
    ControllerRow,
    ControllerStatusRequest,
    DecisionListRequest,
    DecisionPage,
    RulesRequest,
    RulesShown,
)
from controllers.scaling.tree import as_text
from runtime.operations.actor import Actor
from runtime.operations.plan import Json
from runtime.operations.queries.page import page_of


class ScalingAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def status(self, request: ControllerStatusRequest, _actor: Actor) -> ControllerPage:
        scaling = self._parts.scaling
        names = [name for name in scaling.standings() if request.slice in ("", name)]
        page, cursor = page_of(names, lambda name: (name,), request)
        judged = [found for name in page if (found := scaling.look(name)) is not None]
        return ControllerPage(items=tuple(_row(each) for each in judged), next=cursor, leader=self._parts.leader())

    async def decisions(self, request: DecisionListRequest, _actor: Actor) -> DecisionPage:
        found = [each async for each in read_records(self._parts.store, request.slice) if request.id in ("", each.id)]
        page, cursor = page_of(found, lambda each: (each.id,), request, newest_first=True)
        return DecisionPage(items=tuple(page), next=cursor)

    async def rules(self, _request: RulesRequest, _actor: Actor) -> RulesShown:
        tree = self._parts.scaling.tree
        return RulesShown(name=tree.name, features=tree.features, rules=as_text(tree))


def _row(judged: Judgement) -> ControllerRow:
    at, seen, decision = judged.at, judged.seen, judged.decision
    return ControllerRow(
        slice=at.slice,
        version=at.version,
        state=at.paused or "scaling",
        wanted=at.wanted,
        serving=at.serving,
        min=at.least,
        max=at.most,
        rate=round(seen.rate, 3) if seen.rate is not None else None,
        rate_per_instance=round(seen.rate_per_instance, 3),
        latency_p95_ms=seen.latency_p95_ms,
        decision=decision.wanted,
        because=tuple(str(each) for each in decision.because),
        path=decision.path,
        trouble=judged.trouble,
        pin=judged.around.pin,
        config=_set_members(at.config),
    )


def _set_members(config: ScalingConfig) -> dict[str, Json]:
    default = msgspec.structs.asdict(ScalingConfig())
    return {name: value for name, value in msgspec.structs.asdict(config).items() if value != default[name]}
