"""`aether node start --detach`: the supervisor in a session of its own, and a return once the node answers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from agent_api.cli.node_join import identity_of
from agent_api.client.message import HttpReply, HttpRequest
from agent_api.client.sync_wire import SyncWire
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.errors import RuntimeFault

READY_TIMEOUT_S: Final = 30.0
LOOK_S: Final = 0.05


class NodeNotReady(RuntimeFault):
    code = "node_not_ready"
    remedy = "See what its processes say: aether node status, and the files below DIR/logs."


def start_detached(data: Path) -> int:
    """The supervisor's process id, once gateway and API answer. Raises NodeNotReady; the node is left running then."""
    layout = NodeLayout(data)
    layout.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (layout.logs / "supervisor.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime.cluster.supervisor", "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    addresses = addresses_of(identity_of(data).listen)
    give_up_at_s = time.monotonic() + READY_TIMEOUT_S
    waiting = [addresses.http, addresses.api]
    while waiting:
        if process.poll() is not None:
            raise NodeNotReady(f"the supervisor ended at once: {_last_line(layout.logs / 'supervisor.out')}")
        if time.monotonic() > give_up_at_s:
            raise NodeNotReady(f"the node does not answer on {waiting[0]} after {READY_TIMEOUT_S:g} s")
        if _lives(waiting[0]):
            waiting.pop(0)
        else:
            time.sleep(LOOK_S)
    process.returncode = 0  # it outlives this command on purpose
    return process.pid


def _lives(address: str) -> bool:
    wire = SyncWire()
    reply = wire.send(address, HttpRequest(method="GET", path="/health/live", timeout_s=2.0))
    wire.close()
    return isinstance(reply, HttpReply) and reply.status < 400


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
