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
    ("grpc.lb_policy_name", "round_robin"),
)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAddress:
    """`endpoints` are `host:port`. Without `authority` the connection is not encrypted: for tests on loopback."""

    endpoints: tuple[str, ...]
    prefix: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Channel:
    """Opened inside the loop that uses it."""

    def __init__(self, address: EtcdAddress) -> None:
        target = "ipv4:" + ",".join(address.endpoints) if _are_numbers(address.endpoints) else address.endpoints[0]
        if address.authority is None:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=address.authority.read_bytes(),
                private_key=address.key.read_bytes() if address.key else None,
                certificate_chain=address.certificate.read_bytes() if address.certificate else None,
            )
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        self.kv = stubs.KVStub(self._channel)
        self.lease = stubs.LeaseStub(self._channel)
        self.watch = stubs.WatchStub(self._channel)
        self.maintenance = stubs.MaintenanceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()


async def asked(call: Awaitable[Answer]) -> Answer:
    """The answer, or etcd's refusal as the error it stands for."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise fault_of(error) from error


def fault_of(error: grpc.aio.AioRpcError) -> e.StoreFault:
    detail = error.details() or ""
    code = error.code()
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
    return e.StoreUnavailable(f"etcd did not answer: {code.name.lower()}, {detail}")


def _are_numbers(endpoints: tuple[str, ...]) -> bool:
    return all(each.replace(".", "").replace(":", "").isdigit() for each in endpoints)
