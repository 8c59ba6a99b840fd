"""A node that stops answering is told to people, with real processes, a real webhook and a real mail server: once, to
the end, whoever leads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from evals.forge.forge import Forge
from tests.unit.alert_servers import HOST, Inbox, Taken, mail_server, webhook

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

OVERRIDE = "break_glass=true&reason=a+test"
UNRESPONSIVE = "NodeUnresponsive"


@pytest.fixture(scope="module")
async def forge() -> AsyncIterator[Forge]:
    async with Forge(nodes=3) as forge:
        yield forge


async def change(forge: Forge, method: str, path: str, **members: object) -> Any:
    return await forge.api.change(method, f"{path}?{OVERRIDE}", json.dumps(members).encode())


async def tell(forge: Forge, hook: Taken, inbox: Inbox) -> None:
    """Both at once, of nodes that do not answer."""
    await change(forge, "PUT", "/v1/alert-receivers/hook", kind="webhook", url=f"http://{HOST}:{hook.port}/")
    mail = {"kind": "email", "server": f"{HOST}:{inbox.port}", "tls": "none", "sender": "a@x.test", "to": ["b@x.test"]}
    await change(forge, "PUT", "/v1/alert-receivers/mail", **mail)
    route = {"matchers": [f"alertname={UNRESPONSIVE}"], "group_by": ["alertname", "node"], "group_wait_s": 0}
    await change(forge, "PUT", "/v1/alert-routes/nodes", order=1, group_interval_s=1, **route)
    await change(forge, "PUT", "/v1/alert-routes/default", matchers=["alertname=nothing"])


def taken(hook: Taken, node: str) -> dict[str, str]:
    """What the webhook took of that node: "firing" or "ended" by the key of each notification."""
    found = {}
    for _, _, body in hook.requests:
        told = json.loads(body)
        if any(each["labels"].get("node") == node for each in told["alerts"]):
            found[told["notification"]] = told["status"]
    return found


def about(inbox: Inbox, node: str) -> dict[str, str]:
    """Subjects of mails on that node, by their ids: the leader that died may itself be told of for a moment."""
    found = {str(each["Message-ID"]): str(each["Subject"]) for each in inbox.messages}
    return {identity: subject for identity, subject in found.items() if subject.endswith(f"node:{node}")}


async def lasting(forge: Forge) -> set[str]:
    rows = (await forge.api.read("/v1/alerts"))["items"]
    return {row["subject"] for row in rows if row["name"] == UNRESPONSIVE}


async def test_a_suspended_node_is_told_once_and_its_return_once_though_the_leader_dies_between(forge: Forge) -> None:
    """The webhook takes nothing until another process leads: only the time that it takes changes."""
    leader = await forge.until_leader()
    victim = next(name for name in reversed(forge.names) if name != leader)  # the first is asked
    with webhook() as hook, mail_server() as inbox:
        hook.status = 503
        await tell(forge, hook, inbox)
        forge.nodes[victim].pause()

        async def refused() -> bool:
            return hook.asked >= 2

        await forge.until("the webhook was asked twice", refused, timeout_s=30.0)
        for kind in ("control", "store"):
            (process,) = await forge.processes(leader, kind)
            os.kill(process.pid, signal.SIGKILL)
        hook.status = 200

        async def told() -> bool:
            return bool(taken(hook, victim)) and bool(about(inbox, victim))

        await forge.until("webhook and mailbox know", told, timeout_s=40.0)

        async def listed() -> bool:
            return f"node:{victim}" in await lasting(forge)

        await forge.until("whichever node is asked lists it", listed, timeout_s=30.0)
        forge.nodes[victim].resume()

        async def ended() -> bool:
            return (
                "ended" in taken(hook, victim).values() and len(about(inbox, victim)) == 2 and not await lasting(forge)
            )

        await forge.until("both know that it is back", ended, timeout_s=40.0)
    assert sorted(taken(hook, victim).values()) == ["ended", "firing"], "each is one notification, however often sent"
    assert sorted(about(inbox, victim).values()) == [
        f"[critical] {UNRESPONSIVE}: node:{victim}",
        f"[ended] {UNRESPONSIVE}: node:{victim}",
    ]
    events = (await forge.api.read("/v1/events?limit=1000"))["events"]
    told_of = [each["event"] for each in events if f"node:{victim}" in json.dumps(each["data"])]
    assert told_of.count("AlertFired") == told_of.count("AlertEnded") == 1
