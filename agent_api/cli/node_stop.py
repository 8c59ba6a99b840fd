"""`aether node stop`: moves the node's instances away through the API, then ends its processes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Final

import anyio
import msgspec

from agent_api.cli.connecting import located
from agent_api.cli.node_join import identity_of
from agent_api.cli.progress import StatusLine
from agent_api.client.answers import AppliedChange
from agent_api.client.client import Client
from agent_api.client.errors import ClientFault
from agent_api.client.requests import ChangeOptions
from runtime.cluster.layout import NodeLayout
from runtime.cluster.parentage import is_alive, start_ticks
from runtime.cluster.supervision import SupervisorClient, SupervisorUnavailable
from runtime.errors import RuntimeFault
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, NotStarted
from runtime.invocation.listener import connect_unix

DRAIN: Final = "_control/drain"
"""Answers when the node's instances run elsewhere."""
LEFT: Final = "_control/left"
"""Answers how many are still here, once that is another number than the one it is asked with."""
LEAVE: Final = "_control/leave"
"""Answers when the cluster no longer knows the node."""
LOOK_S: Final = 0.1
SHUTDOWN_LIMIT_S: Final = 40.0  # the supervisor's stages take 26 s at most


class NodeStillRuns(RuntimeFault):
    code = "node_still_runs"
    remedy = "End it by force: kill -9 the supervisor; its processes die with it."


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """`ran`: before; `left`: the cluster, for good."""

    node: str
    ran: bool
    left: bool

    def in_words(self) -> str:
        if not self.ran:
            return f"node {self.node} is not running"
        return f"node {self.node} stopped" + (" and left the cluster" if self.left else "")


def stop(data: Path, *, leave: bool, at_once: bool, timeout_s: float, told: bool) -> Stopped:
    """What became of it, once nothing of the node runs any more. told: somebody sees how far it is."""
    identity = identity_of(data)
    client = SupervisorClient(NodeLayout(data).socket("supervisor"))
    try:
        supervisor = asyncio.run(client.pid())
    except SupervisorUnavailable:
        return Stopped(node=identity.node, ran=False, left=False)
    ticks = start_ticks(supervisor)
    with StatusLine(shown=told) as line:
        if (not at_once or leave) and not _withdrawn_locally(NodeLayout(data), line, leave=leave, timeout_s=timeout_s):
            _withdraw(data, identity.node, leave=leave, timeout_s=timeout_s)
        line.say("ending its processes")
        asyncio.run(client.shutdown())
        _await_end(supervisor, ticks)
    return Stopped(node=identity.node, ran=True, left=leave)


def _withdrawn_locally(layout: NodeLayout, line: StatusLine, *, leave: bool, timeout_s: float) -> bool:
    """Asks this node's own control, which needs no key of somebody who may stop its processes anyway.

    False when nobody listens there; the API may know more.
    """

    async def ask() -> None:
        connection = await connect_unix(layout.socket("control"))
        try:
            await _drained(connection, line, timeout_s)
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
        line.clear()
        print(f"some instances were not moved: {error}; stopping anyway", file=sys.stderr)
    return True


async def _drained(connection: Connection, line: StatusLine, timeout_s: float) -> None:
    """Returns once nothing is left, and tells meanwhile how much is. Raises CallFault."""
    fault: CallFault | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tell_left, connection, line, timeout_s)
        try:
            await connection.call(DRAIN, deadline_s=timeout_s)
        except CallFault as error:
            fault = error
        tasks.cancel_scope.cancel()
    if fault is not None:
        raise fault


async def _tell_left(connection: Connection, line: StatusLine, timeout_s: float) -> None:
    """A control that does not know is asked no more."""
    left = -1
    with contextlib.suppress(CallFault):
        while line.shown:
            known = msgspec.msgpack.encode(left)
            left = msgspec.msgpack.decode(await connection.call(LEFT, known, deadline_s=timeout_s), type=int)
            line.say(f"{left} instance{'' if left == 1 else 's'} still here")


def _withdraw(data: Path, node: str, *, leave: bool, timeout_s: float) -> None:
    """Waits until the node's instances run elsewhere. A cluster that cannot be asked does not keep a node running."""
    try:
        found = located(data=data)
        with Client(*found.addresses, key=found.key) as client:
            drained = client.submit("node.drain", {"node": node}, ChangeOptions(wait_s=timeout_s))
            if not isinstance(drained, AppliedChange) or not drained.converged:
                print(
                    f"some instances of {node} could not be moved within {timeout_s:g} s; stopping anyway",
                    file=sys.stderr,
                )
            if leave:
                client.submit("node.forget", {"node": node})
    except ClientFault as fault:
        if leave:
            raise
        print(f"instances were not moved first: {fault}", file=sys.stderr)


def _await_end(supervisor: int, ticks: int) -> None:
    give_up_at_s = time.monotonic() + SHUTDOWN_LIMIT_S
    while is_alive(supervisor, ticks):
        if time.monotonic() > give_up_at_s:
            raise NodeStillRuns(f"the supervisor (pid {supervisor}) has not ended after {SHUTDOWN_LIMIT_S:g} s")
        time.sleep(LOOK_S / 2)
