"""The InstanceHost of another process of this node, over a connection to its socket."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.hosting.errors import InstanceFailed, UnknownInstance
from runtime.hosting.ports import HostedInstance, InstanceSettings, PreparedArtifact
from runtime.invocation.connection import Connection
from runtime.invocation.errors import RemoteFault
from runtime.sdk.contract import SliceContract

LOAD_LIMIT_S: Final = 30.0  # imports of the slice's own modules; third-party ones were preloaded
ANSWER_LIMIT_S: Final = 2.0  # for what needs no slice code: a worker that is silent this long is blocked
MARGIN_S: Final = 2.0  # beyond the slice's own limit, so that the worker's reason arrives first


class LoadRequest(msgspec.Struct, frozen=True, array_like=True):
    artifact: PreparedArtifact
    settings: InstanceSettings


class InstanceRequest(msgspec.Struct, frozen=True, array_like=True):
    slice: str
    number: int
    drain_ms: int = 0


class RemoteInstanceHost:
    """Implements InstanceHost. Besides InstanceFailed it raises what connections raise: DeadlineExceeded means that
    the process's loop is blocked, ConnectionLost that it is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._limits: dict[tuple[str, int], tuple[float, float]] = {}

    async def load(self, artifact: PreparedArtifact, settings: InstanceSettings) -> SliceContract:
        key = (settings.slice, settings.number)
        self._limits[key] = (settings.start_timeout_ms / 1_000, settings.stop_timeout_ms / 1_000)
        raw = await self._ask("_host/load", LoadRequest(artifact, settings), LOAD_LIMIT_S)
        return msgspec.msgpack.decode(raw, type=SliceContract)

    async def activate(self, slice_name: str, number: int) -> None:
        start_s, _ = self._limits.get((slice_name, number), (LOAD_LIMIT_S, LOAD_LIMIT_S))
        await self._ask("_host/activate", InstanceRequest(slice_name, number), start_s + MARGIN_S)

    async def deactivate(self, slice_name: str, number: int, *, drain_ms: int) -> None:
        _, stop_s = self._limits.get((slice_name, number), (LOAD_LIMIT_S, LOAD_LIMIT_S))
        limit_s = drain_ms / 1_000 + stop_s + MARGIN_S
        await self._ask("_host/deactivate", InstanceRequest(slice_name, number, drain_ms), limit_s)

    async def unload(self, slice_name: str, number: int) -> None:
        await self._ask("_host/unload", InstanceRequest(slice_name, number), ANSWER_LIMIT_S)
        self._limits.pop((slice_name, number), None)

    async def instances(self) -> tuple[HostedInstance, ...]:
        raw = await self._ask("_host/instances", None, ANSWER_LIMIT_S)
        return msgspec.msgpack.decode(raw, type=tuple[HostedInstance, ...])

    async def stats(self, level: str) -> bytes:
        """The process's report, as `runtime.telemetry.report` encodes it. level: at which it is to log."""
        return await self._connection.call("_host/stats", level.encode(), deadline_s=ANSWER_LIMIT_S)

    async def _ask(self, target: str, request: msgspec.Struct | None, deadline_s: float) -> bytes:
        payload = b"" if request is None else msgspec.msgpack.encode(request)
        try:
            return await self._connection.call(target, payload, deadline_s=deadline_s)
        except RemoteFault as fault:
            if fault.code == InstanceFailed.code:
                raise InstanceFailed(fault.detail) from None
            if fault.code == UnknownInstance.code:
                raise UnknownInstance(fault.detail) from None
            raise
