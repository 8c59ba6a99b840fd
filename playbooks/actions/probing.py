"""To see what of a node answers: each of its ports, from the node that leads."""

from __future__ import annotations

from typing import Annotated, Final

import anyio
import msgspec
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from runtime.names import NodeId
from runtime.operations.fields import NodeField
from runtime.operations.operation import Effect
from runtime.state import keys
from runtime.state.values import NodeRecord, decode
from runtime.workflow.errors import StepFailed

LOOK_S: Final = 2.0
ASKED: Final = b"GET /v1/status HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
SPEAKING: Final = frozenset({"http", "api"})  # plain HTTP: a word of theirs shows that somebody is behind the port


class ProbeIn(ActionInput, frozen=True, kw_only=True):
    node: NodeField


class ProbeOut(ActionOutput, frozen=True, kw_only=True):
    ports: Annotated[
        dict[str, str],
        Meta(
            description="answers; accepts: connections are taken, and that is all these ports show; silent: taken, and "
            "nothing is said, as by a process that is stopped; refuses; unreachable."
        ),
    ]


class Probe(PlaybookAction[ProbeIn, ProbeOut]):
    name = "node.probe"
    summary = "See which of a node's ports answer."
    effect = Effect.READ
    input = ProbeIn
    output = ProbeOut

    async def run(self, call: ActionCall, wanted: ProbeIn) -> ProbeOut:
        item = call.ports.state.get(keys.node(NodeId(wanted.node)))
        if item is None:
            raise StepFailed("node_unknown", f"there is no node {wanted.node}")
        addresses = msgspec.structs.asdict(decode(item.value, NodeRecord).addresses)
        ports: dict[str, str] = {}
        async with anyio.create_task_group() as tasks:
            for name, address in addresses.items():
                if address:
                    tasks.start_soon(_look, ports, name, address)
        return ProbeOut(ports=dict(sorted(ports.items())))


async def _look(ports: dict[str, str], name: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    ports[name] = "unreachable"
    try:
        with anyio.fail_after(LOOK_S):
            stream = await anyio.connect_tcp(host.strip("[]"), int(port))
    except TimeoutError:
        return
    except OSError as error:
        ports[name] = "refuses" if isinstance(error.__cause__ or error, ConnectionRefusedError) else "unreachable"
        return
    async with stream:
        ports[name] = "accepts" if name not in SPEAKING else "silent"
        if name in SPEAKING:
            with anyio.move_on_after(LOOK_S):
                try:
                    await stream.send(ASKED)
                    await stream.receive(1)
                except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                ports[name] = "answers"
