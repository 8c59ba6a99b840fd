"""Forecasts as any node tells them: the leader makes and remembers them, and the others ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from agent_api.assemble.forecast_rows import forecast_page
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.queries import ForecastPage, ForecastRequest
from controllers.ttm.live import Forecasts
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.names import NodeId

FORECAST: Final = "_control/forecast"
ASK_S: Final = 2.0  # as long as other nodes are asked about the cluster's doings
LED_NO_MORE: Final = "leads no more; ask again in a moment"
_decode_page: Final = msgspec.msgpack.Decoder(ForecastPage).decode
_decode_request: Final = msgspec.msgpack.Decoder(ForecastRequest).decode

Connect = Callable[[NodeId], Awaitable[Connection]]


class ForecastDesk:
    """Implements the API's ForecastBook. `offer` registers what the other nodes ask."""

    def __init__(
        self,
        *,
        node: NodeId,
        leader: Callable[[], str],
        connect: Connect,
        scaling: ScalingLoop,
        forecasts: Forecasts,
    ) -> None:
        self._node = node
        self._leader = leader
        self._connect = connect
        self._scaling = scaling
        self._forecasts = forecasts

    def offer(self, handlers: Handlers) -> None:
        handlers.unary[FORECAST] = self._asked

    async def page(self, request: ForecastRequest) -> ForecastPage:
        """Without items and with the reason in `trouble` where no leader answers."""
        leader = self._leader()
        if leader == self._node:
            return self._own(request)
        if not leader:
            return _nothing("", "no node leads at the moment, and the leader forecasts")
        try:
            connection = await self._connect(NodeId(leader))
            return _decode_page(await connection.call(FORECAST, _encoded(request), deadline_s=ASK_S))
        except (CallFault, msgspec.DecodeError) as fault:
            return _nothing(leader, f"{leader}, which forecasts, did not answer: {fault}")

    def _own(self, request: ForecastRequest) -> ForecastPage:
        return forecast_page(request, self._scaling.standings(), self._forecasts, leader=self._node)

    async def _asked(self, call: IncomingCall) -> bytes:
        """Whoever leads no more has forgotten, and says so; whoever asks must not go in a circle."""
        request, leader = _decode_request(call.payload), self._leader()
        leads = leader == self._node
        return msgspec.msgpack.encode(self._own(request) if leads else _nothing(leader, f"{self._node} {LED_NO_MORE}"))


def _encoded(request: ForecastRequest) -> bytes:
    """Without members that are as they are by default: an empty name is no slice's."""
    default = msgspec.structs.asdict(ForecastRequest())
    members = msgspec.structs.asdict(request).items()
    return msgspec.msgpack.encode({name: value for name, value in members if value != default[name]})


def _nothing(leader: str, trouble: str) -> ForecastPage:
    return ForecastPage(items=(), next="", leader=leader, trouble=trouble)
