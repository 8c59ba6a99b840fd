"""The answer about the node level: from this node's cache of the state, and the store's records."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from controllers.nodes.config import config_of, members_of
from controllers.nodes.journal import read_decisions
from controllers.nodes.queries import DECISIONS_SHOWN, NodeLevelRequest, NodeLevelShown
from controllers.nodes.records import requests, trouble_of
from runtime.operations.actor import Actor


class NodeLevelAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def show(self, _request: NodeLevelRequest, _actor: Actor) -> NodeLevelShown:
        state = self._parts.view.cache
        decisions = [each async for each in read_decisions(self._parts.store)]
        return NodeLevelShown(
            provider=config_of(state).provider,
            config=members_of(state),
            trouble=trouble_of(state),
            nodes=tuple(each for _, each in requests(state)),
            decisions=tuple(reversed(decisions[-DECISIONS_SHOWN:])),
        )
