"""A stream on real nodes: begun at one, whose control is killed, and gone on with at another."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from evals.forge.forge import Forge
from evals.forge.http_client import render

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
WATCHED = "/v1/watch/freeze/"


@pytest.fixture(scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with Forge(nodes=3, apps=[], state=tmp_path_factory.mktemp("forge")) as forge:
        yield forge


async def follow(forge: Forge, node: str, count: int, *, last: str = "") -> list[dict[str, Any]]:
    """The first so many events, each with its id, kind and data."""
    address = forge.nodes[node].addresses.api
    host, _, port = address.rpartition(":")
    headers = [("authorization", f"Bearer {forge.admin_key()}"), *([("last-event-id", last)] if last else [])]
    came, found = b"", []
    with anyio.fail_after(20):
        async with await anyio.connect_tcp(host, int(port)) as connection:
            await connection.send(render("GET", WATCHED, address, headers=headers))
            while len(found) < count:
                came += await connection.receive()
                found = [event for block in came.decode().split("\n\n") if (event := parsed(block))]
    return found[:count]


def parsed(block: str) -> dict[str, Any] | None:
    lines = [line.partition(": ") for line in block.splitlines()]
    fields = {name: value for name, _, value in lines if name in ("id", "event", "data")}
    try:
        return {**fields, "data": json.loads(fields["data"])}
    except (KeyError, ValueError):
        return None  # not whole yet


async def freeze(forge: Forge, subject: str) -> None:
    await forge.api.change("PUT", f"/v1/freezes/{subject}", json.dumps({"why": "a test"}).encode())


async def test_a_stream_goes_on_at_another_node_when_the_first_ones_control_dies(forge: Forge) -> None:
    """No change is missed, and none is told twice."""
    await freeze(forge, "node:n1")
    (reset,) = await follow(forge, "n1", 1)
    assert (reset["event"], [row["key"] for row in reset["data"]["keys"]]) == ("reset", ["freeze/node:n1"])
    (control,) = await forge.processes("n1", "control")
    os.kill(control.pid, signal.SIGKILL)
    await forge.until_well()
    for subject in ("node:n2", "node:n3"):
        await freeze(forge, subject)
    told = await follow(forge, "n3", 2, last=reset["id"])
    assert [(each["event"], each["data"]["key"]) for each in told] == [
        ("put", "freeze/node:n2"),
        ("put", "freeze/node:n3"),
    ]
    (again,) = await follow(forge, "n2", 1, last=told[0]["id"])
    assert (again["id"], again["data"]) == (told[1]["id"], told[1]["data"])


async def test_a_node_that_remembers_less_than_the_id_tells_the_state(forge: Forge) -> None:
    (control,) = await forge.processes("n2", "control")
    os.kill(control.pid, signal.SIGKILL)
    await forge.until_well()
    (reset,) = await follow(forge, "n2", 1, last="1.0")
    assert (reset["event"], len(reset["data"]["keys"])) == ("reset", 3)
