"""The whole API on a store in memory: asked over ASGI, with a real cache between, on the gate's clock."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
from anyio.abc import TaskGroup

from agent_api.assemble.gate import PREFIXES as GATE_PREFIXES
from agent_api.assemble.playbooks import PREFIXES as PLAYBOOK_PREFIXES
from agent_api.catalogue import make_catalogue
from agent_api.control_api.app import ControlApi
from agent_api.control_api.ports import ApiParts, ApiSettings
from controllers.context.training_data import TrainingData
from controllers.gate.making import MakingGate
from controllers.gate.remote import GateLink
from controllers.model_budget.records import Limits
from controllers.ttm.errors import ModelUnreadable
from controllers.ttm.records import UPLOADED, ForecastModel
from runtime.config.effective import layers_of
from runtime.consensus.cache import StoreCache
from runtime.deployment.view import PREFIXES, StateView
from runtime.names import NodeId, Sha256
from runtime.operations.actor import Role
from runtime.security.principals import KeyRecord, PrincipalRecord, hash_of
from runtime.state import keys
from runtime.state.values import ArtifactRecord, ClusterRecord
from runtime.telemetry.fact_log import FactLog
from tests.unit.answer_parts import HandHistory, HandReasoner, HandTelemetry
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand
from tests.unit.playbook_parts import PlaybooksOnHand
from tests.unit.scaling_parts import no_forecasts, scaling_on_hand

ADMIN_KEY = "the-first-admin-key"
PEOPLE = {"anna": Role.OPERATOR, "ben": Role.OPERATOR, "cleo": Role.ADMIN, "vic": Role.VIEWER}


class FactTelemetry(HandTelemetry):
    """Facts are those of the store."""

    def __init__(self, facts: FactLog) -> None:
        super().__init__()
        self.fact_log = facts

    def facts(self, after: str, limit: int) -> dict[str, object]:
        rows = [{"id": each.id, "event": each.event, "data": each.data} for each in self.fact_log.after(after, limit)]
        return {"events": rows, "complete": self.fact_log.is_complete_after(after)}

    async def follow_facts(self, after: str) -> AsyncIterator[dict[str, object]]:
        async for each in self.fact_log.follow(after):
            yield {"id": each.id, "event": each.event, "data": each.data}


class HandShelf:
    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ArtifactRecord:
        body = b"".join([chunk async for chunk in chunks])
        sha256 = Sha256(hashlib.sha256(body).hexdigest())
        return ArtifactRecord(
            name="hello", version="1", sha256=sha256, size_bytes=len(body), slices=(), pins=(), uploaded_unix_ms=0
        )


class HandModels:
    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ForecastModel:
        body = b"".join([chunk async for chunk in chunks])
        if body == b"no model":
            raise ModelUnreadable("it is no model")
        sha256 = hashlib.sha256(body).hexdigest()
        return msgspec.structs.replace(forecast_model(1, ruling=UPLOADED), sha256=sha256, graph=1)


class ApiOnHand:
    """`api` is one node's; `another` makes that of a second node on the same store and gate."""

    def __init__(self, hand: GateOnHand, tasks: TaskGroup, settings: ApiSettings) -> None:
        self.hand = hand
        self._tasks = tasks
        self._settings = settings
        self.secrets = {name: f"ae_{name}-secret" for name in (*PEOPLE, "bot")}
        self.facts = FactLog()
        self.reasoner = HandReasoner(hand)
        self.api, self.cache = self.another("n1")

    def another(
        self, node: str, *, recent_max: int = 4_096, settings: ApiSettings | None = None
    ) -> tuple[ControlApi, StoreCache]:
        cache = StoreCache(self.hand.store, (*PREFIXES, *GATE_PREFIXES, *PLAYBOOK_PREFIXES), recent_max=recent_max)
        link = GateLink(
            node=NodeId(node),
            leader=lambda: node,
            gate=self.hand.gate,
            votes=self.hand.votes,
            reviews=self.hand.reviews,
            now=lambda: self.hand.state.revision,
            connect=None,  # type: ignore[arg-type]  # the gate is here
            arrived=cache.wait_for,
        )

        async def join(_body: bytes) -> bytes:
            return b""

        playbooks = PlaybooksOnHand(self.hand)
        parts = ApiParts(
            node=NodeId(node),
            store=self.hand.store,
            view=StateView(cache),
            shelf=HandShelf(),
            models=HandModels(),
            dispatcher=MakingGate(link, self.hand.clock, makers=(playbooks.makers,)),
            catalogue=make_catalogue(),
            training_data=TrainingData(HandHistory()),  # type: ignore[arg-type]  # asks alike
            telemetry=FactTelemetry(self.facts),
            scaling=scaling_on_hand(self.hand, cache),
            forecasts=no_forecasts(),
            run_planner=playbooks.planner,
            reasoner=self.reasoner,
            bulk=self.reasoner.contents,
            audit=self.hand.audit,
            clock=self.hand.clock,
            settings=settings or self._settings,
            join=join,
            is_leader=lambda: True,
            leader=lambda: node,
            gateway_up=lambda: True,
            log=self.hand.log,
            model_limits=lambda: Limits(minute_tokens=60_000, hour_micros=2_000_000, day_micros=20_000_000),
            forge_door=lambda: str(layers_of(cache, node, file={}).stored().get("forge_door", "")),
            file_settings={},
        )
        api = ControlApi(parts)
        self._tasks.start_soon(cache.run)
        self._tasks.start_soon(api.run)
        return api, cache

    async def begin(self) -> None:
        await self.hand.populate()
        await self.hand.put(
            keys.CLUSTER,
            ClusterRecord(cluster_id="c", created_unix_ms=0, admin_key_sha256=hash_of(ADMIN_KEY)),
        )
        await self.hand.principal(PrincipalRecord(id="vic", kind="person", role=Role.VIEWER))
        for name, secret in self.secrets.items():
            await self.key(name, secret)
        self._tasks.start_soon(self.facts.run, self.hand.store, PREFIXES)
        await self.seen()

    async def key(self, principal: str, secret: str, *, expires_unix_ms: int = 0) -> None:
        record = KeyRecord(
            principal=principal,
            name="test",
            sha256=hash_of(secret),
            created_unix_ms=START_UNIX_MS,
            expires_unix_ms=expires_unix_ms,
        )
        await self.hand.put(keys.api_key(hash_of(secret)), record)

    async def seen(self) -> None:
        """Until the first node's cache has all that was written."""
        with anyio.fail_after(5):
            await self.cache.ready()
            await self.cache.wait_for(self.hand.state.revision)
            while self.facts.taken_until < self.hand.state.revision - 8 and self.facts.taken_until == 0:
                await anyio.lowlevel.checkpoint()

    def client(self, who: str = "", *, api: ControlApi | None = None, address: str = "10.0.0.1") -> httpx.AsyncClient:
        """who: whose key is sent; nobody's when empty, any other text is the key itself."""
        headers = {"authorization": f"Bearer {self.secrets.get(who, who)}"} if who else {}
        transport = httpx.ASGITransport(app=(api or self.api).app, client=(address, 1), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://node", headers=headers)

    async def ask(self, who: str, method: str, path: str, **given: Any) -> httpx.Response:
        async with self.client(who) as client:
            return await client.request(method, path, **given)


@asynccontextmanager
async def api_on_hand(**settings: int) -> AsyncIterator[ApiOnHand]:
    async with anyio.create_task_group() as tasks:
        found = ApiOnHand(GateOnHand(), tasks, ApiSettings(**settings))
        await found.begin()
        yield found
        tasks.cancel_scope.cancel()


class Followed:
    """A client of a stream, over ASGI: `text` is what came so far. It stops reading while `reading` is not set."""

    def __init__(self) -> None:
        self.raw = b""
        self.status = 0
        self.ended = anyio.Event()
        self.gone = anyio.Event()
        self.reading = anyio.Event()
        self.reading.set()
        self._came = anyio.Event()

    async def run(self, api: ControlApi, path: str, secret: str, **headers: str) -> None:
        target, _, query = path.partition("?")
        given = {"authorization": f"Bearer {secret}", "accept": "text/event-stream"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": "GET",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("10.0.0.2", 1),
            "scheme": "http",
            "http_version": "1.1",
            "server": ("node", 80),
            "root_path": "",
        }
        await api.app(scope, self._receive, self._send)
        self.ended.set()

    async def _receive(self) -> dict[str, object]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.reading.wait()
        self.raw += message["body"]
        came, self._came = self._came, anyio.Event()
        came.set()

    async def until(self, true: Callable[[list[dict[str, str]]], bool]) -> list[dict[str, str]]:
        with anyio.fail_after(5):
            while not true(self.events()):
                await self._came.wait()
        return self.events()

    def events(self) -> list[dict[str, str]]:
        blocks = self.raw.decode().split("\n\n")
        rows = [
            dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")) for block in blocks
        ]
        return [row for row in rows if "data" in row]
