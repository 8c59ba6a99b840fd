"""The store process: `python -P -m agent_api.assemble.store --data DIR`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop

from runtime.cluster.identity import NodeIdentity, read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus import wire as w
from runtime.consensus.links import StoreLinks
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Members, Peer
from runtime.consensus.server import StoreServer
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import serve_tls, serve_unix
from runtime.invocation.tasks import OwnedTask
from runtime.security.tls import client_context, server_context
from runtime.telemetry.log import Log, open_log

FLUSH_S: Final = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="store")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    layout = NodeLayout(arguments.data)
    return uvloop.run(serve(layout, read_identity(layout.identity)))


async def serve(layout: NodeLayout, identity: NodeIdentity) -> int:
    """Runs until SIGTERM (0), or until the disk fails (1)."""
    log = open_log(layout.logs, "store", node=identity.node)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    own_address = f"{identity.listen.host}:{identity.listen.store}"
    links = StoreLinks(identity.node, client_context(layout.tls))
    engine = RaftEngine(
        EngineParts(
            node=identity.node,
            cluster=identity.cluster_id,
            directory=layout.store,
            bootstrap=_bootstrap(identity, own_address),
            wire=links,
            note=lambda event, fields: log.info(event, **fields),
        )
    )
    links.changed = lambda node, up: (engine.connected if up else engine.disconnected)(node)
    handlers = Handlers(notifies={w.RAFT: engine.received})
    StoreServer(engine, peer=links.connection).offer(handlers)
    layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    local = await serve_unix(layout.socket("store"), handlers)
    remote = await serve_tls(identity.listen.host, identity.listen.store, server_context(layout.tls), handlers)
    log.info("store_started", address=own_address)
    engine.failed.add_done_callback(lambda _failed: stop.set())
    driving, flushing = OwnedTask(engine.run(), "raft"), OwnedTask(_flush(log), "log")
    await stop.wait()
    failure = engine.failed.exception() if engine.failed.done() else None
    if failure is not None:
        log.error("store_failed", error=repr(failure))
    await driving.end()
    await flushing.end()
    await local.close()
    await remote.close()
    await links.close_all()
    with contextlib.suppress(OSError):
        engine.close()
    log.info("store_stopped")
    log.close()
    return 1 if failure is not None else 0


def _bootstrap(identity: NodeIdentity, own_address: str) -> Members:
    """The members before the log says anything: the first node alone, or those that a node that joins was told of."""
    known = {name: Peer(address) for name, address in identity.core_nodes.items()}
    return {**known, identity.node: Peer(own_address, votes=identity.first)}


async def _flush(log: Log) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        log.flush()


if __name__ == "__main__":
    sys.exit(main())
