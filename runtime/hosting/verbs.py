"""The `_host/*` verbs: how control drives the InstanceHost of another process."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from runtime.hosting.host import Host
from runtime.hosting.remote import InstanceRequest, LoadRequest
from runtime.invocation.incoming import IncomingCall, UnaryHandler

_decode_load = msgspec.msgpack.Decoder(LoadRequest)
_decode_instance = msgspec.msgpack.Decoder(InstanceRequest)


def host_verbs(host: Host, stats: Callable[[bytes], bytes]) -> dict[str, UnaryHandler]:
    """The handlers, by target. `stats` takes the log level in force and gives the process's report, encoded."""

    async def load(call: IncomingCall) -> bytes:
        request = _decode_load.decode(call.payload)
        return msgspec.msgpack.encode(await host.load(request.artifact, request.settings))

    async def activate(call: IncomingCall) -> bytes:
        request = _decode_instance.decode(call.payload)
        await host.activate(request.slice, request.number)
        return b""

    async def deactivate(call: IncomingCall) -> bytes:
        request = _decode_instance.decode(call.payload)
        await host.deactivate(request.slice, request.number, drain_ms=request.drain_ms)
        return b""

    async def unload(call: IncomingCall) -> bytes:
        request = _decode_instance.decode(call.payload)
        await host.unload(request.slice, request.number)
        return b""

    async def instances(_call: IncomingCall) -> bytes:
        return msgspec.msgpack.encode(await host.instances())

    async def report(call: IncomingCall) -> bytes:
        return stats(call.payload)

    return {
        "_host/load": load,
        "_host/activate": activate,
        "_host/deactivate": deactivate,
        "_host/unload": unload,
        "_host/instances": instances,
        "_host/stats": report,
    }
