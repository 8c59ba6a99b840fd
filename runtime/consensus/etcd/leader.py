"""Who leads: the leader key, under a lease that its holder keeps alive. Its revision is the fence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import grpc
from aetcd.rpc import rpc_pb2 as pb

from runtime.consensus import errors as e
from runtime.consensus.etcd.channel import CALL_S, Channel, asked, fault_of
from runtime.consensus.etcd.mirror import Mirror
from runtime.consensus.etcd.names import Names
from runtime.consensus.store import LEADER_KEY

TTL_S: Final = 5  # how long nobody leads when a leader dies
KEEP_S: Final = 1.0


class Election:
    """`run` stands for election for as long as it runs; `leader` tells who leads as far as this process can be sure."""

    def __init__(self, channel: Channel, names: Names, mirror: Mirror, node: str) -> None:
        self._channel = channel
        self._names = names
        self._mirror = mirror
        self._node = node
        self._lease = 0
        self._sure_until_s = 0.0

    def leader(self) -> str:
        item = self._mirror.machine.keys.get(LEADER_KEY)
        if item is None:
            return ""
        name = item.value.decode()
        if name == self._node and (item.lease != self._lease or time.monotonic() >= self._sure_until_s):
            return ""  # an earlier life's, or not kept alive in time: another may lead already
        return name

    async def run(self) -> None:
        while True:
            try:
                await self._stand()
            except e.LeaseNotFound:
                self._lease = 0
                continue
            except e.StoreFault:
                self._mirror.changes.fire()  # the leadership that nobody can confirm may have ended
            await asyncio.sleep(KEEP_S)

    async def resign(self) -> None:
        if self._lease:
            await asked(self._channel.lease.LeaseRevoke(pb.LeaseRevokeRequest(ID=self._lease), timeout=CALL_S))

    async def _stand(self) -> None:
        asked_at_s = time.monotonic()  # the lease counts from later on, so this is sure
        if not self._lease:
            grant = pb.LeaseGrantRequest(TTL=TTL_S)
            self._lease = (await asked(self._channel.lease.LeaseGrant(grant, timeout=CALL_S))).ID
        else:
            await keep_alive(self._channel, self._lease)
        self._sure_until_s = asked_at_s + TTL_S
        key = self._names.key(LEADER_KEY)
        put = pb.PutRequest(key=key, value=self._node.encode(), lease=self._lease)
        request = pb.TxnRequest(
            compare=[pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=0)],
            success=[pb.RequestOp(request_put=put)],
        )
        if self._mirror.machine.keys.get(LEADER_KEY) is None:
            await asked(self._channel.kv.Txn(request, timeout=CALL_S))


async def keep_alive(channel: Channel, lease: int) -> None:
    """Raises LeaseNotFound."""
    try:
        call = channel.lease.LeaseKeepAlive(_single(pb.LeaseKeepAliveRequest(ID=lease)), timeout=CALL_S)
        async for answer in call:
            if answer.TTL <= 0:
                raise e.LeaseNotFound(f"lease {lease} has ended or never was")
            return
    except grpc.aio.AioRpcError as error:
        raise fault_of(error) from error
    raise e.EtcdUnreachable("etcd did not answer a keep-alive")


async def _single(request: pb.LeaseKeepAliveRequest) -> AsyncIterator[pb.LeaseKeepAliveRequest]:
    yield request
