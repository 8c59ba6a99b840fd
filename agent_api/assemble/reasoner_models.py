"""Language models as the reasoner has them: made of the node's settings and keys, paid for over a turn's connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from agent_api.control_api.turns import RESERVE, SETTLE, STAND, Replied
from controllers.model_budget.records import Decided, ProviderStanding, Settlement, Wish
from llm_layer.desk import DeskRefused
from llm_layer.providers.asking import Models
from llm_layer.providers.fleet import Fleet, Wanted
from llm_layer.providers.limits import Limits
from llm_layer.providers.prices import Prices
from runtime.clock import Clock
from runtime.cluster.layout import NodeLayout
from runtime.cluster.membership import Lines
from runtime.config.settings import ConfigInvalid, NodeSettings, read_settings
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import IncomingCall

StreamHandler = Callable[[IncomingCall], AsyncIterator[bytes]]
VERB_S: Final = 5.0  # a transaction of the store, and no more


class ConnectedLedger:
    """Implements Ledger over the connection that the turn came by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def reserve(self, wish: Wish) -> Decided:
        decided: Decided = msgspec.json.decode(await self._asked(RESERVE, wish), type=Decided)
        return decided

    async def settle(self, settlement: Settlement) -> None:
        await self._asked(SETTLE, settlement)

    async def stand(self, providers: tuple[ProviderStanding, ...]) -> None:
        """Tells how providers stand. Raises DeskRefused."""
        await self._asked(STAND, providers)

    async def _asked(self, verb: str, asked: object) -> bytes:
        try:
            raw = await self._connection.call(verb, msgspec.json.encode(asked), deadline_s=VERB_S)
        except CallFault as fault:
            raise DeskRefused(fault.code, str(fault), fault.remedy) from fault
        replied = msgspec.json.decode(raw, type=Replied)
        if replied.code:
            raise DeskRefused(replied.code, replied.detail, replied.remedy)
        return bytes(replied.answer)


class ModelRoom:
    """Settings and keys are read before every turn, so that changes hold with the next; that takes a millisecond.
    Where the file was edited wrongly, the last settings that were good stay."""

    def __init__(self, layout: NodeLayout, *, environment: Mapping[str, str], clock: Clock, log: Lines) -> None:
        self._layout = layout
        self._log = log
        self._fleet = Fleet(keys=layout.model_keys, environment=environment, clock=clock)
        self._settings = NodeSettings()
        self._told: tuple[ProviderStanding, ...] | None = None

    @asynccontextmanager
    async def models(self, connection: Connection) -> AsyncIterator[Models]:
        """For one turn."""
        self._follow()
        async with self._fleet.lent() as providers:
            yield Models(
                providers,
                breakers=self._fleet.breakers,
                ledger=_TellingLedger(ConnectedLedger(connection), self._tell),
                prices=Prices(self._settings.model_prices),
                limits=limits_of(self._settings),
            )

    @property
    def recordings(self) -> int:
        """Conversations that shall be recorded."""
        return self._settings.model_recordings

    def told(self, turn: StreamHandler) -> StreamHandler:
        """The turn, before which the leader is told how providers stand, if that is otherwise than before."""

        async def telling(call: IncomingCall) -> AsyncIterator[bytes]:
            assert call.connection is not None
            self._follow()
            await self._tell(ConnectedLedger(call.connection))
            async for each in turn(call):
                yield each

        return telling

    def _follow(self) -> None:
        try:
            self._settings = read_settings(self._layout.data)
        except ConfigInvalid as fault:
            self._log.warning("model_settings_not_read", reason=str(fault))
        self._fleet.follow(wanted_by(self._settings), limits_of(self._settings))

    async def _tell(self, ledger: ConnectedLedger) -> None:
        standing = self._fleet.standing()
        if standing == self._told:
            return
        try:
            await ledger.stand(standing)
        except DeskRefused as fault:
            self._log.warning("model_standing_not_told", reason=str(fault))
        else:
            self._told = standing


class _TellingLedger:
    """Implements Ledger: after each try it tells what became of the provider."""

    def __init__(self, ledger: ConnectedLedger, tell: Callable[[ConnectedLedger], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._tell = tell

    async def reserve(self, wish: Wish) -> Decided:
        return await self._ledger.reserve(wish)

    async def settle(self, settlement: Settlement) -> None:
        await self._ledger.settle(settlement)
        await self._tell(self._ledger)


def wanted_by(settings: NodeSettings) -> tuple[Wanted, ...]:
    """In the order in which they are asked."""
    of = {
        "anthropic": Wanted(
            name="anthropic",
            strong=settings.model_anthropic_strong,
            cheap=settings.model_anthropic_cheap,
            url=settings.model_anthropic_url,
        ),
        "openai": Wanted(
            name="openai",
            strong=settings.model_openai_strong,
            cheap=settings.model_openai_cheap,
            url=settings.model_openai_url,
        ),
        "compatible": Wanted(
            name="compatible",
            strong=settings.model_compatible_strong,
            cheap=settings.model_compatible_cheap,
            url=settings.model_compatible_url,
        ),
    }
    return tuple(of[name] for name in dict.fromkeys(settings.model_providers))


def limits_of(settings: NodeSettings) -> Limits:
    return Limits(
        connect_s=settings.model_connect_s, first_s=settings.model_first_token_s, total_s=settings.model_total_s
    )
