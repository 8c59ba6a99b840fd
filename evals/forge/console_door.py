"""The way from a cluster's API to the Forge that it runs in: frames over a Unix socket, one call a connection."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import msgspec

from evals.forge.wishes import ChaosWish, ForgeStatus, LoadWish
from runtime.errors import RuntimeFault
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import Listener, connect_unix, serve_unix
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Outcome

SCHEME: Final = "unix:"
STATUS: Final = "_forge/status"
LOAD: Final = "_forge/load"
CHAOS: Final = "_forge/chaos"
_outcome: Final[msgspec.msgpack.Decoder[Outcome]] = msgspec.msgpack.Decoder(Outcome)
CALL_S: Final = 90.0  # a node that is stopped is drained first, for 45 s at most, and one that starts is waited for


class Desk(Protocol):
    async def status(self) -> ForgeStatus: ...

    async def wish(self, wish: LoadWish, actor: Actor) -> Outcome: ...

    async def break_something(self, wish: ChaosWish, actor: Actor) -> Outcome: ...


class ForgeAbsent(RuntimeFault):
    code, retryable = "forge_absent", False
    remedy = "This cluster runs in no Forge now: start one with `aether forge`."


class _Wished(msgspec.Struct, frozen=True, kw_only=True):
    actor: Actor
    load: LoadWish | None = None
    chaos: ChaosWish | None = None


class ForgeDoor:
    """The cluster's side. address: unix:/PATH of the Forge's socket."""

    def __init__(self, address: str) -> None:
        self._path = Path(address.removeprefix(SCHEME))

    async def status(self) -> ForgeStatus:
        """Raises ForgeAbsent."""
        return msgspec.msgpack.decode(await self._call(STATUS, b""), type=ForgeStatus)

    async def load(self, wish: LoadWish, actor: Actor) -> Outcome:
        """Raises ForgeAbsent."""
        raw = await self._call(LOAD, msgspec.msgpack.encode(_Wished(actor=actor, load=wish)))
        return _outcome.decode(raw)

    async def chaos(self, wish: ChaosWish, actor: Actor) -> Outcome:
        """Raises ForgeAbsent."""
        raw = await self._call(CHAOS, msgspec.msgpack.encode(_Wished(actor=actor, chaos=wish)))
        return _outcome.decode(raw)

    async def _call(self, target: str, payload: bytes) -> bytes:
        try:
            connection = await connect_unix(self._path)
            try:
                return await connection.call(target, payload, deadline_s=CALL_S)
            finally:
                await connection.close()
        except (CallFault, RuntimeFault) as error:
            raise ForgeAbsent(f"the Forge at {self._path} does not answer: {error}") from error


async def serve_console_door(path: Path, desk: Desk) -> Listener:
    """The Forge's side. Raises AddressUnusable."""

    async def status(_call: IncomingCall) -> bytes:
        return msgspec.msgpack.encode(await desk.status())

    async def load(call: IncomingCall) -> bytes:
        wished = msgspec.msgpack.decode(call.payload, type=_Wished)
        assert wished.load is not None
        return msgspec.msgpack.encode(await desk.wish(wished.load, wished.actor))

    async def chaos(call: IncomingCall) -> bytes:
        wished = msgspec.msgpack.decode(call.payload, type=_Wished)
        assert wished.chaos is not None
        return msgspec.msgpack.encode(await desk.break_something(wished.chaos, wished.actor))

    return await serve_unix(path, Handlers(unary={STATUS: status, LOAD: load, CHAOS: chaos}))
