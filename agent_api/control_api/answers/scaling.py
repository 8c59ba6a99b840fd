"""Answers about scaling: from this node's own watch, and from the records in the store."""

from __future__ import annotations

import anyio
import anyio.to_thread
import msgspec

from agent_api.control_api.ports import ApiParts
from controllers.journal.decisions import read_records
from controllers.nodes.journal import read_decisions
from controllers.nodes.records import NodeDecisionRecord
from controllers.scaling.config import ScalingConfig, checked
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.judging import Judgement
from controllers.scaling.own_rules import text_of
from controllers.scaling.queries import (
    ControllerPage,
    ControllerRow,
    ControllerStatusRequest,
    DecisionListRequest,
    DecisionPage,
    ForecastPage,
    ForecastRequest,
    OwnRulesShown,
    RulesRequest,
    RulesShown,
    WhatIfRequest,
    WhatIfShown,
)
from controllers.scaling.records import DecisionRecord
from controllers.scaling.replaying import Variant, other_config, replay, summed
from controllers.scaling.tree import RuleTree, as_text
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

    async def forecast(self, request: ForecastRequest, _actor: Actor) -> ForecastPage:
        return await self._parts.forecasts.page(request)

    async def decisions(self, request: DecisionListRequest, _actor: Actor) -> DecisionPage:
        found = [each async for each in read_records(self._parts.store, request.slice) if request.id in ("", each.id)]
        page, cursor = page_of(found, lambda each: (each.id,), request, newest_first=True)
        return DecisionPage(items=tuple(page), nodes=await self._of_nodes(request), next=cursor)

    async def _of_nodes(self, request: DecisionListRequest) -> tuple[NodeDecisionRecord, ...]:
        if request.slice or request.cursor:
            return ()
        found = [each async for each in read_decisions(self._parts.store) if request.id in ("", each.id)]
        return tuple(reversed(found))

    async def what_if(self, request: WhatIfRequest, _actor: Actor) -> WhatIfShown:
        """Raises ScalingPolicyInvalid, StoreFault. Decided in a thread, as a thousand decisions take a while."""
        found = [each async for each in read_records(self._parts.store, request.slice)]
        newest = sorted(found, key=lambda each: each.id, reverse=True)[: request.limit]
        tree = self._parts.scaling.tree
        return await anyio.to_thread.run_sync(_what_if, request, newest, tree)

    async def rules(self, _request: RulesRequest, _actor: Actor) -> RulesShown:
        tree, state = self._parts.scaling.tree, self._parts.view.cache
        own = [
            OwnRulesShown(slice=name, source=text_of(state, name)) for name in ("", *self._parts.scaling.standings())
        ]
        return RulesShown(
            name=tree.name,
            features=tree.features,
            rules=as_text(tree),
            own=tuple(each for each in own if each.source),
        )


def _what_if(request: WhatIfRequest, records: list[DecisionRecord], tree: RuleTree) -> WhatIfShown:
    other_config(ScalingConfig(), request.set)
    variant = Variant(
        members=request.set,
        least=request.min,
        most=request.max,
        forecast=not request.without_forecast,
        own_rules=not request.without_own_rules,
    )
    found = replay(records, tree, variant)
    return WhatIfShown(rules=tree.name, summary=summed(found), refused=_refused(request, records), items=tuple(found))


def _refused(request: WhatIfRequest, records: list[DecisionRecord]) -> str:
    """As the newest decision's slice is configured."""
    config = other_config(records[0].config if records else ScalingConfig(), request.set)
    try:
        checked(msgspec.to_builtins(config))
    except ScalingPolicyInvalid as fault:
        return str(fault)
    return ""


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
