"""Troubles of applications: load, requests that make a slice misbehave, blueprints that do not work."""

from __future__ import annotations

from typing import Final

import anyio
import msgspec

from evals.forge.cluster_api import OVERRIDE
from evals.forge.errors import ChaosRefused
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.requests import JSON, RequestInvalid, parsed
from evals.forge.load.scenario import Mix
from runtime.cluster.layout import NodeLayout
from runtime.telemetry.picture import FIGURE_S

VERBS: Final = frozenset({"call", "load", "apply", "remove", "snapshot", "pin", "flood"})
SEGMENT_MIB: Final = 4
MIB: Final = 1024 * 1024
KEPT_S: Final = 30.0


class AppChaos:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    async def do(self, verb: str, rest: str) -> str:
        """Raises ChaosRefused."""
        match verb:
            case "apply":
                return await self._apply(rest)
            case "remove":
                await self._forge.api.remove(rest)
                return f"{rest} is deleted"
            case "snapshot":
                return await self._snapshot()
            case "flood":
                node, _, mib = rest.partition(" ")
                return await anyio.to_thread.run_sync(self._flood, node, mib)
            case "pin":
                return await self._pin(*rest.split())
        try:
            if verb == "call":
                return await self._call(rest)
            rps, _, request = rest.partition(" ")
            return self._load(float(rps), request)
        except (RequestInvalid, ValueError) as error:
            raise ChaosRefused(f"{verb} {rest}: {error}") from None

    async def _call(self, text: str) -> str:
        request = parsed(text)
        client = self._forge.http(self._forge.running()[0])
        answer = await client.request(request.method, request.path, request.body, headers=JSON)
        return f"{request.name} was answered with {answer.status}"

    def _load(self, rps: float, text: str) -> str:
        profile = Profile(rps=rps)
        generator = LoadGenerator(self._forge.targets(), Mix((parsed(text),)), profile)
        self._forge.in_background(generator.run)
        return f"{rps:g} times a second {text}"

    async def _apply(self, file: str) -> str:
        """A blueprint beside an application's own."""
        for app in self._forge.apps:
            path = app.project / file
            if path.is_file():
                await self._forge.api.apply(app.blueprint, path.read_bytes())
                return f"{file} is applied as {app.blueprint}"
        raise ChaosRefused(f"no application has a file {file!r}")

    def _flood(self, node: str, mib: str) -> str:
        """In segments, as a process writes them that says too much."""
        if node not in self._forge.nodes:
            raise ChaosRefused(f"no node is called {node!r}")
        logs = NodeLayout(self._forge.nodes[node].data).logs
        line = b'{"at_ms":0,"level":"info","event":"flood","text":"' + b"x" * 1_000 + b'"}\n'
        for number in range(int(mib) // SEGMENT_MIB):
            (logs / f"flood.{number:08}.jsonl").write_bytes(line * (SEGMENT_MIB * MIB // len(line)))
        return f"{mib} MiB of lines lie in the logs of {node}"

    async def _pin(self, slice_name: str, count: str) -> str:
        """As a person would who knows better than the controllers, and does not."""
        body = msgspec.json.encode({"instances": int(count), "why": "chaos"})
        await self._forge.api.change("PUT", f"/v1/slices/{slice_name}/pin?{OVERRIDE}", body)
        return f"{slice_name} is held at {count} instances"

    async def _snapshot(self) -> str:
        applied = msgspec.convert(await self._forge.api.change("POST", "/v1/store/snapshots"), _Applied)
        number = int(str(applied.result["number"]))

        async def kept() -> bool:
            page = msgspec.convert(await self._forge.api.read("/v1/store/snapshots"), _Snapshots)
            return any(each.number == number and each.state == "kept" for each in page.items)

        await self._forge.until(f"snapshot {number} is kept", kept, timeout_s=KEPT_S)
        return f"snapshot {number} is kept"

    async def is_full(self, node: str, bound: float) -> bool:
        status = msgspec.convert(await self._forge.api.read("/v1/status"), _Status)
        return any(each.node == node and (each.disk_share or 0.0) > bound for each in status.load.nodes)

    async def is_short(self, slice_name: str) -> bool:
        """Fewer of its instances serve than are wanted."""
        page = msgspec.convert(await self._forge.api.read("/v1/slices"), _Slices)
        return any(each.slice == slice_name and each.serving < each.wanted for each in page.slices)

    async def is_above(self, slice_name: str, metric: str, bound: float) -> bool:
        """As the mean of the last ten seconds, which is what alerts and playbooks look at."""
        window = await self._forge.api.read(f"/v1/slices/{slice_name}/window")
        seconds = msgspec.convert(window, _Window).seconds
        if metric not in seconds:
            raise ChaosRefused(f"no slice has a figure {metric!r}; there are {', '.join(seconds)}")
        known = [value for value in seconds[metric][-FIGURE_S:] if value is not None]
        return bool(known) and sum(known) / len(known) > bound


class _Window(msgspec.Struct, frozen=True):
    seconds: dict[str, list[float | None]]


class _Slice(msgspec.Struct, frozen=True):
    slice: str
    serving: int
    wanted: int


class _Slices(msgspec.Struct, frozen=True):
    slices: list[_Slice]


class _Applied(msgspec.Struct, frozen=True):
    result: dict[str, object]


class _Snapshot(msgspec.Struct, frozen=True):
    number: int
    state: str


class _Snapshots(msgspec.Struct, frozen=True):
    items: list[_Snapshot]


class _NodeLoad(msgspec.Struct, frozen=True):
    node: str
    disk_share: float | None = None


class _Load(msgspec.Struct, frozen=True):
    nodes: list[_NodeLoad]


class _Status(msgspec.Struct, frozen=True):
    load: _Load
