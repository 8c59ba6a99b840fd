"""The first question on every connection to a store: which protocol, which cluster. What differs is not talked to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runtime.consensus.decoding import decoder
from runtime.consensus.raft.protocol import PROTOCOL as RAFT_PROTOCOL
from runtime.invocation.connection import Connection
from runtime.invocation.errors import PeerRefused
from runtime.invocation.incoming import Handlers, IncomingCall

HELLO: Final = "store/hello"
STORE_PROTOCOL: Final = 1
HELLO_S: Final = 3.0


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Never loses a member, so that every version can read every other's."""

    store_protocol: int
    raft_protocol: int
    cluster: str
    node: str


_read: Final = decoder(Hello)


class StoreRefused(PeerRefused):
    """A store that this process must not talk to, or cannot."""

    code = "store_refused"
    remedy = "Run one version of Aether on all nodes, and only nodes of one cluster as members of its store."


def offer_hello(handlers: Handlers, *, cluster: str, node: str) -> None:
    hello = Hello(store_protocol=STORE_PROTOCOL, raft_protocol=RAFT_PROTOCOL, cluster=cluster, node=node)
    answer = msgspec.msgpack.encode(hello)

    async def say(_call: IncomingCall) -> bytes:
        return answer

    handlers.unary[HELLO] = say


def greeting(dial: Callable[[], Awaitable[Connection]], *, cluster: str = "") -> Callable[[], Awaitable[Connection]]:
    """A dial whose connections are to stores that this process can talk to; with `cluster`, of that cluster alone.

    Raises StoreRefused, or what `dial` raises.
    """

    async def greeted() -> Connection:
        connection, well = await dial(), False
        try:
            raw = await connection.call(HELLO, deadline_s=HELLO_S)
            check_hello(_read(raw), cluster=cluster)
            well = True
        except msgspec.DecodeError as error:
            raise StoreRefused(f"a store's greeting cannot be read: {error}") from error
        finally:
            if not well:
                connection.abort("not greeted as it should be")
        return connection

    return greeted


def check_hello(hello: Hello, *, cluster: str) -> None:
    """Raises StoreRefused."""
    if hello.store_protocol != STORE_PROTOCOL:
        raise StoreRefused(
            f"the store of {hello.node} speaks store protocol {hello.store_protocol}, this process {STORE_PROTOCOL}"
        )
    if cluster and hello.raft_protocol != RAFT_PROTOCOL:
        raise StoreRefused(
            f"the store of {hello.node} speaks raft protocol {hello.raft_protocol}, this one {RAFT_PROTOCOL}"
        )
    if cluster and hello.cluster != cluster:
        raise StoreRefused(f"the store of {hello.node} belongs to cluster {hello.cluster}, not to {cluster}")
