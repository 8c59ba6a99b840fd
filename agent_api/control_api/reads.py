"""Questions: answered by any node from its cache, marked with the revision they are as of."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, NotFound, nearest
from runtime.deployment.view import StateView
from runtime.state.values import Phase
from runtime.telemetry.facts import is_fact_id

FACTS_MAX = 1_000


class Reads:
    """One method per resource."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._view = parts.view

    async def status(self, _request: Request) -> Response:
        return self._answer(
            {
                "node": self._parts.node,
                "leader": self._parts.leader(),
                "nodes": nodes(self._view),
                "slices": slices(self._view),
                "blueprints": [record.blueprint for record in self._view.blueprints()],
                "load": self._parts.telemetry.picture(),
            }
        )

    async def nodes(self, _request: Request) -> Response:
        return self._answer({"nodes": nodes(self._view)})

    async def slices(self, _request: Request) -> Response:
        return self._answer({"slices": slices(self._view)})

    async def instances(self, _request: Request) -> Response:
        states = {(each.node, each.slice, each.number): each for each in self._view.instance_states()}
        rows: list[dict[str, object]] = []
        for each in self._view.placed():
            key = (each.node, each.assignment.slice, each.assignment.number)
            state = states.pop(key, None)
            rows.append(
                {
                    "slice": each.assignment.slice,
                    "node": each.node,
                    "number": each.assignment.number,
                    "version": each.assignment.version,
                    "phase": state.phase if state else "assigned",
                    "reason": state.reason if state else "its node has not reported yet",
                    "restarts": state.restarts if state else 0,
                    "worker": state.worker if state else "",
                    "last_failure": state.last_failure if state else "",
                    "serving": each.serving,
                }
            )
        rows += [{**msgspec.to_builtins(state), "serving": False} for state in states.values()]
        return self._answer({"instances": rows})

    async def routes(self, _request: Request) -> Response:
        serving = {(each.slice, each.version) for each in self._view.endpoints()}
        rows = [
            {
                "method": route.method,
                "path": route.path,
                "slice": contract.name,
                "version": contract.version,
                "handler": method.name,
                "idempotent": method.idempotent,
            }
            for contract in self._view.contracts()
            if (contract.name, contract.version) in serving
            for method in contract.methods
            for route in method.routes
        ]
        return self._answer({"routes": sorted(rows, key=lambda row: (row["path"], row["method"]))})

    async def blueprints(self, _request: Request) -> Response:
        return self._answer({"blueprints": [msgspec.to_builtins(record) for record in self._view.blueprints()]})

    async def artifacts(self, _request: Request) -> Response:
        rows = [
            {
                "name": record.name,
                "version": record.version,
                "sha256": record.sha256,
                "size_bytes": record.size_bytes,
                "slices": [f"{contract.name} {contract.version}" for contract in record.slices],
                "pins": list(record.pins),
                "uploaded_unix_ms": record.uploaded_unix_ms,
            }
            for record in self._view.artifacts()
        ]
        return self._answer({"artifacts": rows})

    async def window(self, request: Request) -> Response:
        name = request.path_params["slice"]
        found = await self._parts.telemetry.window(name)
        if found is None:
            raise NotFound(f"there are no figures of slice {name!r}")
        return self._answer(found)

    async def events(self, request: Request) -> Response:
        """Facts behind `after`; as server-sent events when the client accepts these."""
        after = request.query_params.get("after", request.headers.get("last-event-id", ""))
        if after and not is_fact_id(after):
            raise ApiFault(f"after must be an event's id, as in 120.0, not {after[:80]!r}")
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(self._event_stream(after), media_type="text/event-stream")
        limit = limit_of(request, FACTS_MAX)
        return self._answer(self._parts.telemetry.facts(after, limit))

    async def _event_stream(self, after: str):  # type: ignore[no-untyped-def]  # starlette takes any async iterator
        async for fact in self._parts.telemetry.follow_facts(after):
            yield f"id: {fact['id']}\nevent: {fact['event']}\ndata: ".encode() + msgspec.json.encode(fact) + b"\n\n"

    async def logs(self, request: Request) -> Response:
        return self._answer(await self._parts.telemetry.logs(dict(request.query_params)))

    async def traces(self, request: Request) -> Response:
        return self._answer(await self._parts.telemetry.traces(dict(request.query_params)))

    async def metrics(self, _request: Request) -> Response:
        return Response(self._parts.telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def live(self, _request: Request) -> Response:
        return self._answer({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Ready once the state is known here and the gateway takes tables."""
        ready = self._view.cache.revision > 0 and self._parts.gateway_up()
        return self._answer({"status": "ready" if ready else "starting"}, status=200 if ready else 503)

    async def unknown(self, request: Request, _error: Exception) -> Response:
        from agent_api.control_api.problems import problem

        return problem(NotFound(f"there is no {request.method} {request.url.path} here"))

    def _answer(self, body: dict[str, object], *, status: int = 200) -> Response:
        cache = self._view.cache
        document = {"revision": cache.revision, "stale": cache.stale or not self._parts.leader(), **body}
        return Response(msgspec.json.encode(document), status, media_type="application/json")


def limit_of(request: Request, most: int) -> int:
    text = request.query_params.get("limit", "100")
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise ApiFault(f"limit must be 1 to {most}, not {text!r}")
    return int(text)


def nodes(view: StateView) -> list[dict[str, object]]:
    live = {record.node for record in view.live_nodes()}
    return [
        {
            **msgspec.to_builtins(record),
            "state": "leaving" if record.leaving else "up" if record.node in live else "down",
            "instances": len(view.assignments(record.node)),
        }
        for record in view.nodes()
    ]


def slices(view: StateView) -> list[dict[str, object]]:
    serving = view.endpoints()
    states = view.instance_states()
    rows: list[dict[str, object]] = []
    for target in view.targets():
        settings = target.settings
        mine = [each for each in states if (each.slice, each.version) == (settings.slice, settings.version)]
        rows.append(
            {
                "slice": settings.slice,
                "version": settings.version,
                "blueprint": target.blueprint,
                "wanted": target.wanted,
                "min": settings.min,
                "max": settings.max,
                "serving": sum((e.slice, e.version) == (settings.slice, settings.version) for e in serving),
                "failed": sum(each.phase is Phase.FAILED for each in mine),
                "reasons": sorted({each.reason for each in mine if each.reason}),
                "weight": settings.weight,
            }
        )
    return rows


def known_slices(view: StateView, name: str) -> str:
    return nearest(name, {target.settings.slice for target in view.targets()})
