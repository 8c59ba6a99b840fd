"""The verbs of a store process that operators' tools use: figures, digests, snapshots, votes, the leadership."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import BinaryIO, Final, Protocol

import msgspec

from runtime.consensus import errors as e
from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.digest import Digest
from runtime.consensus.figures import StoreFigures
from runtime.consensus.server import MemberEngine, StoreServer
from runtime.consensus.store import Revision
from runtime.invocation.incoming import Handlers, IncomingCall

SNAPSHOTS_MAX: Final = 2  # sent at the same time: each reads the disk and fills a connection


class OperableEngine(MemberEngine, Protocol):
    """An engine with members that an operator can look into."""

    def figures(self) -> StoreFigures: ...

    async def promote_member(self, node: str) -> None: ...

    async def transfer(self, to: str) -> str: ...

    async def digest(self, nonce: str) -> Digest: ...

    async def fresh_snapshot(self, at_least: Revision) -> BinaryIO: ...


class OperatorServer:
    def __init__(self, engine: OperableEngine, server: StoreServer) -> None:
        self._engine = engine
        self._server = server
        self._snapshots = 0

    def offer(self, handlers: Handlers) -> None:
        handlers.unary |= {
            ow.PROMOTE_MEMBER: self._server.on_leader(self._promote),
            ow.TRANSFER: self._server.on_leader(self._transfer),
            ow.FIGURES: self._figures,
            ow.DIGEST: self._digest,
        }
        handlers.streams[ow.SNAPSHOT] = self._snapshot

    async def _promote(self, raw: bytes) -> bytes:
        await self._engine.promote_member(w.decode_member(raw).node)
        return b""

    async def _transfer(self, raw: bytes) -> bytes:
        return w.encode(w.MemberRequest(await self._engine.transfer(w.decode_member(raw).node)))

    async def _figures(self, _call: IncomingCall) -> bytes:
        return w.encode(msgspec.structs.replace(self._engine.figures(), watchers=self._server.watchers))

    async def _digest(self, call: IncomingCall) -> bytes:
        """The caller's deadline bounds it."""
        try:
            request = ow.decode_digest_request(call.payload)
        except msgspec.DecodeError as error:
            raise e.InvalidRequest(f"{call.target}: {error}") from error
        return w.encode(await self._engine.digest(request.nonce))

    async def _snapshot(self, call: IncomingCall) -> AsyncIterator[bytes]:
        try:
            request = ow.decode_snapshot_request(call.payload)
        except msgspec.DecodeError as error:
            raise e.InvalidRequest(f"{call.target}: {error}") from error
        if self._snapshots >= SNAPSHOTS_MAX:
            raise e.Overloaded(f"{self._engine.node} sends {SNAPSHOTS_MAX} snapshots already")
        self._snapshots += 1
        try:
            with await self._engine.fresh_snapshot(request.at_least) as file:
                yield w.encode(ow.SnapshotBegins(self._engine.node, os.fstat(file.fileno()).st_size))
                while chunk := file.read(ow.CHUNK_BYTES):
                    yield chunk
        finally:
            self._snapshots -= 1
