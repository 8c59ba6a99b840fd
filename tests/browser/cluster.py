"""A real Forge for tests that are not async themselves, as browsers are driven without a loop of their own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import httpx
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal

from evals.forge.desk import ForgeDesk, open_console
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.requests import scenario_for

PEOPLE = {"anna": "operator", "ben": "operator", "cleo": "admin", "vic": "viewer"}
REQUESTS_PER_S = 8.0

CANARY = '"><img src=x onerror="window.hit=1">'


def hostile_alert(status: str = "firing") -> dict[str, object]:
    """As another system may send it: its words are anybody's."""
    alert = {
        "status": status,
        "labels": {"alertname": CANARY, "slice": "shortener", "severity": "warning", "team": CANARY},
        "annotations": {"summary": CANARY, "runbook_url": "javascript:window.hit=1"},
        "startsAt": "2026-01-01T00:00:00Z",
    }
    if status == "resolved":
        alert["endsAt"] = "2026-01-02T00:00:00Z"
    return {"version": "4", "groupKey": CANARY, "alerts": [alert]}


class Cluster:
    """`api` is the address of the first node; `keys` are those of `PEOPLE`, and of `ci`, an automation."""

    def __init__(self, forge: Forge, portal: BlockingPortal) -> None:
        self.forge = forge
        self.portal = portal
        self.keys: dict[str, str] = {}
        self.expiring = ""
        self._client = httpx.Client(timeout=40.0)

    @property
    def api(self) -> str:
        return self.address(self.forge.names[0])

    def address(self, node: str) -> str:
        return self.forge.nodes[node].addresses.api

    def close(self) -> None:
        self._client.close()

    def admit(self) -> None:
        for name, role in {**PEOPLE, "ci": "operator"}.items():
            kind = "automation" if name == "ci" else "person"
            self.ask("admin", "PUT", f"/v1/principals/{name}", {"kind": kind, "role": role, "owns": []})
            self.keys[name] = self.ask("admin", "POST", f"/v1/principals/{name}/keys", {"name": "t"})["result"]["key"]

    def ask(self, who: str, method: str, path: str, body: object = None, *, node: str = "") -> dict[str, Any]:
        """The answer of one that must succeed."""
        key = self.forge.admin_key() if who == "admin" else self.keys[who]
        address = self.address(node) if node else self.api
        answer = self._client.request(
            method, f"http://{address}{path}", json=body, headers={"authorization": f"Bearer {key}"}
        )
        assert answer.is_success, answer.text
        return dict(answer.json())

    def propose_scale(self, who: str, slice_name: str, instances: int, *, node: str = "", **words: object) -> str:
        """The proposal's id. Words with the request, as tainted="true"."""
        query = "&".join(f"{name}={value}" for name, value in ({"propose": "true"} | words).items())
        path = f"/v1/slices/{slice_name}/scale?{query}"
        return str(self.ask(who, "PUT", path, {"instances": instances}, node=node)["proposal"])

    def trace(self) -> None:
        """One request whose caller wants it traced, whatever it takes; until it can be found."""
        address = self.forge.nodes[self.forge.names[0]].addresses.http
        wanted = {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
        body = {"url": "https://example.com/traced"}
        assert self._client.post(f"http://{address}/links", json=body, headers=wanted).is_success

        async def found() -> bool:
            told = await self.forge.api.read("/v1/traces?text=shortener")
            assert isinstance(told, dict)
            return bool(told["traces"])

        self.run(self.forge.until, "the trace is found", found, timeout_s=10)

    def fail(self, slice_name: str, path: str, *, request_id: str) -> str:
        """The trace of a request that the slice fails; once it can be found."""
        address = self.forge.nodes[self.forge.names[0]].addresses.http
        trace = secrets.token_hex(16)
        wanted = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01", "x-request-id": request_id}

        async def found() -> bool:
            told = await self.forge.api.read(f"/v1/traces?trace_id={trace}")
            assert isinstance(told, dict)
            return any(each["failed"] for each in told["traces"])

        self.run(self.forge.until_active, slice_name, 1)
        assert self._client.get(f"http://{address}{path}", headers=wanted).status_code == 500
        self.run(self.forge.until, "the trace is found", found, timeout_s=10)
        return trace

    def leave_alone(self, slice_name: str) -> None:
        """Nobody but the tests scales it: where these take long, its scaling learns that fewer instances would do."""
        self.ask("admin", "PUT", "/v1/controller/config", {"slice": slice_name, "set": {"enabled": False}})

    def near_miss(self, slice_name: str) -> str:
        """The id of a decision that scaling keeps: it wanted more instances, and a pin held it."""
        instances = self.wanted(slice_name)
        pinned, config = f"/v1/slices/{slice_name}/pin", "/v1/controller/config"
        self.ask("admin", "PUT", pinned, {"slice": slice_name, "instances": instances})
        self.ask("admin", "PUT", config, {"slice": slice_name, "set": {"rate_per_instance": 0.01}})
        found: list[str] = []

        async def kept() -> bool:
            told = await self.forge.api.read(f"/v1/controller/decisions?slice={slice_name}")
            assert isinstance(told, dict)
            found[:] = [each["id"] for each in told["items"]]
            return bool(found)

        self.run(self.forge.until, "a decision is kept", kept, timeout_s=30)
        self.ask("admin", "PUT", config, {"slice": slice_name, "unset": ["rate_per_instance"]})
        self.ask("admin", "DELETE", pinned, {"slice": slice_name, "instances": instances})
        return found[0]

    async def open_forge(self, *, task_status: TaskStatus[None]) -> None:
        """As `aether forge` does, so that the console can ask it for load and chaos."""
        async with anyio.create_task_group() as tasks:
            door = await open_console(self.forge, ForgeDesk(self.forge, tasks))
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await door.close()

    def wake_reasoner(self) -> None:
        """What answers sentences is started by the first one, and given up on where a busy machine takes long."""
        headers = {"authorization": f"Bearer {self.keys['cleo']}"}

        async def answers() -> bool:
            url = f"http://{self.api}/v1/chat"
            told = await asyncio.to_thread(self._client.post, url, json={"text": "/slice list"}, headers=headers)
            return told.is_success

        self.run(self.forge.until, "sentences are answered", answers, timeout_s=60)

    async def use(self, *, task_status: TaskStatus[None]) -> None:
        """The application is used all the time, so that there are figures, traces and something to alert of."""
        scenario = await scenario_for(self.forge, [])
        load = LoadGenerator(
            self.forge.targets(), scenario, Profile(shape="constant", rps=REQUESTS_PER_S, floor_rps=1.0)
        )
        task_status.started()
        await load.run()

    def wanted(self, slice_name: str) -> int:
        return int(self.ask("admin", "GET", f"/v1/slices/{slice_name}")["versions"][0]["wanted"])

    def run(self, work: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """Work of the Forge, in its own thread's loop."""
        return self.portal.call(partial(work, *given, **more))
