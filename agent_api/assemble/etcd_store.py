"""The store process of a node whose settings choose etcd. Only it imports grpc."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.config.settings import ConfigInvalid, NodeSettings
from runtime.consensus.etcd.channel import EtcdAddress
from runtime.consensus.etcd.engine import EtcdEngine
from runtime.consensus.hello import offer_hello
from runtime.consensus.operator_server import OperatorServer
from runtime.consensus.server import StoreServer
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import serve_tls, serve_unix
from runtime.invocation.tasks import OwnedTask
from runtime.security.tls import server_context
from runtime.telemetry.log import Log


def address_of(settings: NodeSettings) -> EtcdAddress:
    """Raises ConfigInvalid."""
    if not settings.store_etcd_endpoints:
        raise ConfigInvalid("store_engine is etcd, and store_etcd_endpoints names none")
    files = [settings.store_etcd_authority, settings.store_etcd_certificate, settings.store_etcd_key]
    for name in files:
        if name and not Path(name).is_file():
            raise ConfigInvalid(f"{name}, which the etcd settings name, is no file")
    authority, certificate, key = (Path(name) if name else None for name in files)
    return EtcdAddress(
        endpoints=settings.store_etcd_endpoints,
        prefix=settings.store_etcd_prefix,
        authority=authority,
        certificate=certificate,
        key=key,
    )


async def serve_etcd(layout: NodeLayout, identity: NodeIdentity, settings: NodeSettings, log: Log) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = EtcdEngine(
        node=identity.node,
        cluster=identity.cluster_id,
        address=address_of(settings),
        store_address=addresses_of(identity.listen).store,
        note=lambda event, fields: log.info(event, **fields),
    )
    handlers = Handlers()
    offer_hello(handlers, cluster=identity.cluster_id, node=identity.node)
    server = StoreServer(engine, peer=None)
    server.offer(handlers)
    OperatorServer(engine, server).offer(handlers)
    async with contextlib.AsyncExitStack() as closing:
        closing.push_async_callback(engine.close)
        closing.push_async_callback(OwnedTask(engine.run(), "etcd").end)
        await engine.register()
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        local = await serve_unix(layout.socket("store"), handlers)
        closing.push_async_callback(local.close)
        remote = await serve_tls(identity.listen.host, identity.listen.store, server_context(layout.tls), handlers)
        closing.push_async_callback(remote.close)
        log.info("store_started", address=addresses_of(identity.listen).store, engine="etcd")
        await stop.wait()
    log.info("store_stopped")
    return 0
