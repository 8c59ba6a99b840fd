"""The two clients that the benchmark drives: our own, and etcd by grpc.aio with messages coded by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.store import Put

DEADLINE_S: Final = 10.0
ETCD_NAME: Final = "localhost"  # in the certificate of every etcd member


class StoreTarget:
    """Implements Target by StoreClient, which takes the node's Unix socket or mutual TLS as its identity says."""

    def __init__(self, data: Path) -> None:
        layout = NodeLayout(data)
        self._client = StoreClient.open(layout, read_identity(layout.identity), deadline_s=DEADLINE_S)

    async def put(self, key: str, value: bytes) -> None:
        await self._client.txn((), (Put(key=key, value=value),))

    async def get(self, key: str) -> None:
        await self._client.get(key)

    async def close(self) -> None:
        await self._client.close()


class EtcdTarget:
    """Implements Target. Hand-coded messages cost less than generated ones, which is to etcd's advantage."""

    def __init__(self, addresses: str, tls: Path) -> None:
        import grpc

        credentials = grpc.ssl_channel_credentials(
            (tls / "ca.pem").read_bytes(), (tls / "node.key").read_bytes(), (tls / "node.pem").read_bytes()
        )
        options = (
            ("grpc.ssl_target_name_override", ETCD_NAME),
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.max_reconnect_backoff_ms", 100),
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.min_reconnect_backoff_ms", 20),
        )
        self._channel: Any = grpc.aio.secure_channel(f"ipv4:{addresses}", credentials, options=options)
        self._put: Any = self._channel.unary_unary("/etcdserverpb.KV/Put")
        self._range: Any = self._channel.unary_unary("/etcdserverpb.KV/Range")

    async def put(self, key: str, value: bytes) -> None:
        await self._put(_field(1, key.encode()) + _field(2, value), timeout=DEADLINE_S)

    async def get(self, key: str) -> None:
        await self._range(_field(1, key.encode()), timeout=DEADLINE_S)

    async def close(self) -> None:
        await self._channel.close()


def _field(number: int, body: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return bytes((number << 3 | 2,)) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
