"""`aether node stop`: moves the node's instances away through the API, then ends its processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from agent_api.cli.api_client import ApiClient, ApiRefused, ApiUnreachable, client_for
from agent_api.cli.node_join import identity_of
from runtime.cluster.layout import NodeLayout
from runtime.cluster.parentage import is_alive, start_ticks
from runtime.cluster.supervision import SupervisorClient, SupervisorUnavailable
from runtime.errors import RuntimeFault
from runtime.invocation.errors import CallFault, NotStarted
from runtime.invocation.listener import connect_unix

DRAIN: Final = "_control/drain"
"""Answers when the node's instances run elsewhere."""
LEAVE: Final = "_control/leave"
"""Answers when the cluster no longer knows the node."""
LOOK_S: Final = 0.1
SHUTDOWN_LIMIT_S: Final = 40.0  # the supervisor's stages take 26 s at most


class NodeStillRuns(RuntimeFault):
    code = "node_still_runs"
    remedy = "End it by force: kill -9 the supervisor; its processes die with it."


def stop(data: Path, *, leave: bool, at_once: bool, timeout_s: float) -> int:
    """0 once nothing of the node runs any more, also when nothing ran."""
    identity = identity_of(data)
    client = SupervisorClient(NodeLayout(data).socket("supervisor"))
    try:
        supervisor = asyncio.run(client.pid())
    except SupervisorUnavailable:
        print(f"node {identity.node} is not running")
        return 0
    ticks = start_ticks(supervisor)
    if (not at_once or leave) and not _withdrawn_locally(NodeLayout(data), leave=leave, timeout_s=timeout_s):
        _withdraw(client_for(data, None), identity.node, leave=leave, timeout_s=timeout_s)
    asyncio.run(client.shutdown())
    _await_end(supervisor, ticks)
    print(f"node {identity.node} stopped" + (" and left the cluster" if leave else ""))
    return 0


def _withdrawn_locally(layout: NodeLayout, *, leave: bool, timeout_s: float) -> bool:
    """Asks this node's own control, which needs no key of somebody who may stop its processes anyway.

    False when nobody listens there; the API may know more.
    """

    async def ask() -> None:
        connection = await connect_unix(layout.socket("control"))
        try:
            await connection.call(DRAIN, deadline_s=timeout_s)
            if leave:
                await connection.call(LEAVE, deadline_s=timeout_s)
        finally:
            await connection.close()

    try:
        asyncio.run(ask())
    except NotStarted:
        return False
    except CallFault as error:
        if leave:
            raise
        print(f"some instances were not moved: {error}; stopping anyway")
    return True


def _withdraw(api: ApiClient, node: str, *, leave: bool, timeout_s: float) -> None:
    """Waits until the node's instances run elsewhere. A cluster that cannot be asked does not keep a node running."""
    try:
        api.send("POST", f"/v1/nodes/{node}/drain", timeout_s=timeout_s)
        if not _emptied(api, node, timeout_s=timeout_s):
            print(f"some instances of {node} could not be moved within {timeout_s:g} s; stopping anyway")
        if leave:
            api.send("DELETE", f"/v1/nodes/{node}", timeout_s=timeout_s)
    except (ApiUnreachable, ApiRefused) as error:
        if leave:
            raise
        print(f"instances were not moved first: {error}")


def _emptied(api: ApiClient, node: str, *, timeout_s: float) -> bool:
    give_up_at_s = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at_s:
        if not _instances_on(api, node):
            return True
        time.sleep(LOOK_S)
    return False


def _instances_on(api: ApiClient, node: str) -> int:
    listed = api.get("/v1/instances")
    rows = listed.get("instances", []) if isinstance(listed, dict) else listed
    assert isinstance(rows, list)
    return sum(1 for row in rows if isinstance(row, dict) and row.get("node") == node)


def _await_end(supervisor: int, ticks: int) -> None:
    give_up_at_s = time.monotonic() + SHUTDOWN_LIMIT_S
    while is_alive(supervisor, ticks):
        if time.monotonic() > give_up_at_s:
            raise NodeStillRuns(f"the supervisor (pid {supervisor}) has not ended after {SHUTDOWN_LIMIT_S:g} s")
        time.sleep(LOOK_S / 2)
