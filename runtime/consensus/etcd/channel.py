"""The connection to etcd: one gRPC channel over all endpoints, and etcd's refusals as the store's errors."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import grpc
from aetcd.rpc import rpc_pb2_grpc as stubs

from runtime.consensus import errors as e

CALL_S: Final = 2.0  # as long as a raft member waits for its majority
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024  # a page of keys, or the changes of many revisions at once
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_UNTRUSTED: Final = ("Tls handshake failed", "Unwrap failed", "Verification Check failed")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAddress:
    """`endpoints` are `host:port`. Without `authority` the connection is not encrypted: for tests on loopback."""

    endpoints: tuple[str, ...]
    prefix: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class LeaseTaken(e.StoreFault):
    """The id that was asked for is that of a lease that stands."""

    code = "lease_taken"


class Channel:
    """Opened inside the loop that uses it. One connection per member, because a member's certificate names itself;
    calls go to one of them for as long as it is connected."""

    def __init__(self, address: EtcdAddress) -> None:
        self._channels = [_opened(address, endpoint) for endpoint in address.endpoints]
        self._at = 0

    def _current(self) -> grpc.aio.Channel:
        count = len(self._channels)
        if self._channels[self._at].get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            others = [(self._at + step) % count for step in range(1, count)]
            states = {each: self._channels[each].get_state(try_to_connect=True) for each in others}
            ready = (each for each in others if states[each] is grpc.ChannelConnectivity.READY)
            self._at = next(ready, (self._at + 1) % count)
        return self._channels[self._at]

    @property
    def kv(self) -> stubs.KVStub:
        return stubs.KVStub(self._current())

    @property
    def lease(self) -> stubs.LeaseStub:
        return stubs.LeaseStub(self._current())

    @property
    def watch(self) -> stubs.WatchStub:
        return stubs.WatchStub(self._current())

    @property
    def maintenance(self) -> stubs.MaintenanceStub:
        return stubs.MaintenanceStub(self._current())

    async def close(self) -> None:
        for each in self._channels:
            await each.close()


def _opened(address: EtcdAddress, endpoint: str) -> grpc.aio.Channel:
    if address.authority is None:
        return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=address.authority.read_bytes(),
        private_key=address.key.read_bytes() if address.key else None,
        certificate_chain=address.certificate.read_bytes() if address.certificate else None,
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)


async def asked(call: Awaitable[Answer]) -> Answer:
    """The answer, or etcd's refusal as the error it stands for."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise fault_of(error) from error


def fault_of(error: grpc.aio.AioRpcError) -> e.StoreFault:
    detail = error.details() or ""
    code = error.code()
    if "lease already exists" in detail:
        return LeaseTaken("etcd has that lease already")
    if "requested lease not found" in detail:
        return e.LeaseNotFound("the lease has ended or never was")
    if "has been compacted" in detail:
        return e.InvalidRequest(f"etcd: {detail}")
    if "too many operations" in detail:
        return e.TooLarge(f"etcd allows fewer operations in a transaction; start it with --max-txn-ops=1024 ({detail})")
    if "request is too large" in detail:
        return e.TooLarge(f"etcd takes smaller requests; start it with --max-request-bytes=2097152 ({detail})")
    if "database space exceeded" in detail:
        return e.QuotaExceeded("etcd's own database is full; compact and defragment it, then disarm its alarm")
    if code is grpc.StatusCode.INVALID_ARGUMENT or code is grpc.StatusCode.OUT_OF_RANGE:
        return e.InvalidRequest(f"etcd: {detail}")
    if "too many requests" in detail:
        return e.Overloaded("etcd has too many changes waiting")
    if "no leader" in detail or "timed out" in detail:
        return e.NoQuorum(f"etcd has no majority: {detail}")
    if any(sign in detail for sign in _UNTRUSTED):
        return e.EtcdUntrusted(f"etcd and this node do not trust each other's certificates: {detail}")
    return e.EtcdUnreachable(f"etcd did not answer: {code.name.lower()}, {detail}")
