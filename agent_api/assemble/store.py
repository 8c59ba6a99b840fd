"""The store process: `python -P -m agent_api.assemble.store --data DIR`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from runtime.cluster.identity import NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.cluster.words import words_told
from runtime.config.settings import read_settings
from runtime.consensus import wire as w
from runtime.consensus.directory import check_directory, check_log_is_there, has_log
from runtime.consensus.hello import offer_hello
from runtime.consensus.links import StoreLinks
from runtime.consensus.operator_server import OperatorServer
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Members, Peer
from runtime.consensus.raft.replica import SNAPSHOT_EVERY, SNAPSHOT_KEPT
from runtime.consensus.server import StoreServer
from runtime.errors import RuntimeFault
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import serve_tls, serve_unix
from runtime.invocation.tasks import OwnedTask
from runtime.security.tls import client_context, server_context
from runtime.telemetry.log import Log, open_log

FLUSH_S: Final = 0.5
COLLECT_AFTER: Final = (20_000, 20, 100)  # objects: a collection of all that history holds takes tens of ms
SWITCH_S: Final = 0.0002  # the log writer's thread waits so long for the interpreter at most: every commit waits for it


def main() -> int:
    told = words_told(
        "aether-store", None, data=None, snapshot_every=str(SNAPSHOT_EVERY), snapshot_kept=str(SNAPSHOT_KEPT)
    )
    layout = NodeLayout(Path(told["data"]))
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    snapshots = (int(told["snapshot_every"]), int(told["snapshot_kept"]))
    return uvloop.run(serve(layout, read_identity(layout.identity), snapshots=snapshots))


async def serve(
    layout: NodeLayout, identity: NodeIdentity, *, snapshots: tuple[int, int] = (SNAPSHOT_EVERY, SNAPSHOT_KEPT)
) -> int:
    """Runs until SIGTERM (0), or until the disk fails (1). Does not start (1) from what is not whole or not its own."""
    log = open_log(layout.logs, "store", node=identity.node)
    try:
        settings = read_settings(layout.data)
        log.set_level(settings.log_level)
        if settings.store_engine == "etcd":
            from agent_api.assemble.etcd_store import serve_etcd

            return await serve_etcd(layout, identity, settings, log)
        return await _serve(layout, identity, snapshots, log)
    except RuntimeFault as fault:
        problem = fault.problem()
        log.error("store_refused", **problem)
        print(f"store: {problem['detail']}\n  {problem['remedy']}", file=sys.stderr, flush=True)
        return 1
    finally:
        log.close()


async def _serve(layout: NodeLayout, identity: NodeIdentity, snapshots: tuple[int, int], log: Log) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    own_address = addresses_of(identity.listen).store
    check_directory(layout.store)
    check_log_is_there(layout.store, identity.node, begun=identity.store_begun)

    def note(event: str, fields: dict[str, object]) -> None:
        log.info(event, **fields)

    links = StoreLinks(identity.node, identity.cluster_id, client_context(layout.tls), note)
    had_log = has_log(layout.store)
    engine = RaftEngine(
        EngineParts(
            node=identity.node,
            cluster=identity.cluster_id,
            directory=layout.store,
            bootstrap=_bootstrap(identity, own_address),
            wire=links,
            note=note,
            snapshot_every=snapshots[0],
            snapshot_kept=snapshots[1],
        )
    )
    links.changed = lambda node, up: (engine.connected if up else engine.disconnected)(node)
    handlers = Handlers(notifies={w.RAFT: engine.received})
    offer_hello(handlers, cluster=identity.cluster_id, node=identity.node)
    server = StoreServer(engine, peer=links.connection)
    server.offer(handlers)
    OperatorServer(engine, server).offer(handlers)
    if not had_log:
        await engine.begun
    if not identity.store_begun and not engine.failed.done():  # before anybody can hear from it
        write_identity(layout.identity, msgspec.structs.replace(identity, store_begun=True))
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
