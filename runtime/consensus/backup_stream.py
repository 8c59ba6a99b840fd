"""A member's snapshot as it comes over a connection: light, for processes that only pass it on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.errors import StoreUnavailable
from runtime.consensus.store import Revision
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault

CHUNK_S: Final = 30.0  # without a byte; the member may have to write the snapshot first


async def snapshot_chunks(connection: Connection, at_least: Revision) -> AsyncGenerator[tuple[bytes, int]]:
    """Pieces of a snapshot that includes that revision, each with the size of all of it. Raises StoreUnavailable, also
    when the member ends before all of it came."""
    stream = connection.stream(ow.SNAPSHOT, w.encode(ow.SnapshotRequest(at_least)))
    came = 0
    try:
        async with asyncio.timeout(CHUNK_S) as limit:
            total = ow.decode_snapshot_begins(await anext(stream)).bytes
            async for chunk in stream:
                limit.reschedule(asyncio.get_running_loop().time() + CHUNK_S)
                came += len(chunk)
                yield chunk, total
    except (CallFault, TimeoutError, StopAsyncIteration, msgspec.DecodeError) as error:
        raise StoreUnavailable(f"the member stopped sending its snapshot: {error}") from error
    finally:
        await stream.aclose()
    if came != total:
        raise StoreUnavailable(f"the member sent {came} of {total} bytes of its snapshot")
