"""Who says whether a question may be paid for, as this layer sees it."""

from __future__ import annotations

from typing import Final, Protocol

from controllers.model_budget.records import Decided, Granted, Settlement, Wish


class Ledger(Protocol):
    """Both may raise LlmFault where the cluster cannot be asked; what is never settled counts as spent."""

    async def reserve(self, wish: Wish) -> Decided: ...

    async def settle(self, settlement: Settlement) -> None: ...


class Unlimited:
    """Implements Ledger where nothing is kept: models that are asked from outside of a cluster."""

    async def reserve(self, wish: Wish) -> Decided:
        return Granted(id=FREE, tier=wish.tier)

    async def settle(self, settlement: Settlement) -> None:
        pass


FREE: Final = "free"
