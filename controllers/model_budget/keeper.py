"""The leader's hand on the budget: each reservation and each settlement is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from controllers.model_budget.decide import reserve, settle
from controllers.model_budget.records import (
    Budget,
    Decided,
    Granted,
    Limits,
    ModelStanding,
    ProviderStanding,
    Settlement,
    Wish,
)
from runtime.clock import Clock
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Put, Revision, Store, led_by, unchanged
from runtime.state import keys
from runtime.state.values import decode, encode

T = TypeVar("T")
ATTEMPTS_MAX: Final = 5  # one leader writes, so that only a change of leaders comes between


class BudgetKeeper:
    """led: the revision that this node's leadership began at; raises NotLeader while it does not lead."""

    def __init__(
        self,
        *,
        node: str,
        store: Store,
        led: Callable[[], Revision],
        limits: Callable[[], Limits],
        new_id: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._node = node
        self._store = store
        self._led = led
        self._limits = limits
        self._new_id = new_id
        self._clock = clock
        self._turn = anyio.Lock()
        self._standing: tuple[ProviderStanding, ...] | None = None

    async def reserve(self, wish: Wish, principal: str) -> Decided:
        """Raises NotLeader, StoreFault."""
        identity, limits = self._new_id(), self._limits()

        def change(before: Budget, now_unix_ms: int) -> tuple[Budget, Decided]:
            return reserve(before, wish, limits, identity=identity, principal=principal, now_unix_ms=now_unix_ms)

        return await self._changed(change)

    async def settle(self, settlement: Settlement) -> None:
        """Raises NotLeader, StoreFault."""
        await self._changed(lambda before, now: (settle(before, settlement, now_unix_ms=now), None))

    async def stand(self, providers: tuple[ProviderStanding, ...]) -> None:
        """Raises NotLeader, StoreFault."""
        if providers == self._standing:
            return
        told = ModelStanding(node=self._node, at_unix_ms=self._clock.unix_ms(), providers=providers)
        done = await self._store.txn([led_by(self._led())], [Put(key=keys.MODEL_STANDING, value=encode(told))])
        if not done.succeeded:
            raise NotLeader("")
        self._standing = providers

    async def _changed(self, change: Callable[[Budget, int], tuple[Budget, T]]) -> T:
        async with self._turn:
            for _ in range(ATTEMPTS_MAX):
                fence = self._led()
                item = (await self._store.get(keys.MODEL_BUDGET)).item
                before = decode(item.value, Budget) if item is not None else Budget()
                after, told = change(before, self._clock.unix_ms())
                same = unchanged(keys.MODEL_BUDGET, item.mod_revision if item is not None else Revision(0))
                put = Put(key=keys.MODEL_BUDGET, value=encode(after))
                if (await self._store.txn([led_by(fence), same], [put])).succeeded:
                    return told
        raise NotLeader("")


class Purse:
    """What one turn has reserved. It settles nothing else, and what it leaves is spent when the turn ends."""

    def __init__(self, keeper: BudgetKeeper, principal: str) -> None:
        self._keeper = keeper
        self._principal = principal
        self._held: dict[str, int] = {}

    async def reserve(self, wish: Wish) -> Decided:
        """Raises NotLeader, StoreFault."""
        decided = await self._keeper.reserve(wish, self._principal)
        if isinstance(decided, Granted):
            self._held[decided.id] = wish.tokens
        return decided

    async def settle(self, settlement: Settlement) -> None:
        """Raises NotLeader, StoreFault."""
        if self._held.pop(settlement.id, None) is not None:
            await self._keeper.settle(settlement)

    async def close(self) -> None:
        """Raises NotLeader, StoreFault: then it lapses by its time."""
        for identity, tokens in list(self._held.items()):
            await self.settle(Settlement(id=identity, tokens=tokens))
