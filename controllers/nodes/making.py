"""Nodes that were asked for are made, and those that are retired go back: what the leader keeps true."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio
import msgspec

from controllers.nodes.config import config_of
from controllers.nodes.port import NodeProvider, ProviderAt, ProviderFault
from controllers.nodes.records import NodeRequest, requests
from controllers.scaling.standing import State
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Delete, Operation, Put, Revision, Store, led_by, unchanged
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import encode

AGAIN_S: Final = 3.0  # between two words with the provider about one node
ANSWER_S: Final = 5.0  # that the provider may take


class _Kept(NamedTuple):
    """A request as it was read: `revision` is its own."""

    request: NodeRequest
    revision: Revision
    fence: int

    @property
    def node(self) -> str:
        return self.request.node


class NodeMaking:
    """`keep` brings the provider's nodes to what the state wants. Each has its name from the state, so that what an
    earlier leader asked for is asked for again and is one node."""

    def __init__(self, *, store: Store, state: State, provider_at: ProviderAt, clock: Clock, log: Lines) -> None:
        self._store = store
        self._state = state
        self._provider_at = provider_at
        self._clock = clock
        self._log = log
        self._said: dict[str, tuple[float, str]] = {}

    async def keep(self, fence: int) -> str:
        """Once over all requests. Returns what is in the way, in words; empty when nothing is. Raises RuntimeFault."""
        troubles = []
        for item, request in tuple(requests(self._state)):
            trouble = await self._keep(_Kept(request, item.mod_revision, fence))
            if trouble:
                troubles.append(trouble)
        return "; ".join(troubles)

    async def _keep(self, kept: _Kept) -> str:
        state = kept.request.state
        is_live = self._state.get(keys.node_live(NodeId(kept.node))) is not None
        if state == "wanted" and is_live:
            joined = msgspec.structs.replace(kept.request, state="joined")
            if await self._note(kept, Put(key=keys.node_request(kept.node), value=encode(joined))):
                self._log.info("node_provided", node=kept.node)
        elif state == "wanted":
            return await self._ask(kept, self._provide)
        elif state == "retiring" and not is_live:
            return await self._ask(kept, self._release)
        return ""

    async def _ask(self, kept: _Kept, question: Callable[[NodeProvider, _Kept], Awaitable[str]]) -> str:
        """What the provider says to it, at most every AGAIN_S; in between, what it said last."""
        now_s = self._clock.monotonic_s()
        asked_s, said = self._said.get(kept.node, (-AGAIN_S, ""))
        if now_s - asked_s >= AGAIN_S:
            said = await self._answer(kept, question)
            self._said[kept.node] = (now_s, said)
        return said

    async def _answer(self, kept: _Kept, question: Callable[[NodeProvider, _Kept], Awaitable[str]]) -> str:
        address = config_of(self._state).provider
        if not address:
            return f"{kept.node} waits for its provider, and nobody provides nodes"
        try:
            with anyio.fail_after(ANSWER_S):
                return await question(self._provider_at(address), kept)
        except TimeoutError:
            return f"{kept.node}: the provider does not answer"
        except ProviderFault as fault:
            return f"{kept.node}: {fault}"

    async def _provide(self, provider: NodeProvider, kept: _Kept) -> str:
        made = await provider.provide(kept.node, kept.request.role)
        return f"{kept.node} could not be made: {made.why}" if made.state == "failed" else ""

    async def _release(self, provider: NodeProvider, kept: _Kept) -> str:
        """The record goes last: until then the next leader releases it again."""
        await provider.release(kept.node)
        if await self._note(kept, Delete(key=keys.node(NodeId(kept.node))), Delete(key=keys.node_request(kept.node))):
            self._said.pop(kept.node, None)
            self._log.info("node_released", node=kept.node)
        return ""

    async def _note(self, kept: _Kept, *operations: Operation) -> bool:
        """False when the request has changed meanwhile, or another leads: whoever leads then looks again."""
        same = unchanged(keys.node_request(kept.node), kept.revision)
        return (await self._store.txn([led_by(Revision(kept.fence)), same], list(operations))).succeeded
