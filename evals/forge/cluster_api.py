"""The cluster as its HTTP API shows and changes it: any node that answers will do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from evals.forge.errors import ApiRefused, ApiUnreachable, ChangeWaits
from evals.forge.http_client import Answer, HttpClient

READ_TIMEOUT_S: Final = 3.0
CHANGE_TIMEOUT_S: Final = 30.0
OVERRIDE: Final = "break_glass=true&reason=a+Forge+has+one+operator"

T = TypeVar("T")


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is up, down or leaving."""

    node: str
    role: str
    zone: str
    state: str

    @property
    def live(self) -> bool:
        return self.state == "up"


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    slice: str
    node: str
    number: int
    version: str
    phase: str
    serving: bool
    reason: str = ""
    restarts: int = 0
    worker: str = ""
    last_failure: str = ""


class SliceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a slice: how many instances there should be, which scaling may change at any time."""

    slice: str
    wanted: int


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    slice: str


class BandRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls a second in one minute, at the 10th, 50th and 90th percentile; `rate` came in the minute before."""

    p10: float
    p50: float
    p90: float
    rate: float | None = None


class ForecastRow(msgspec.Struct, frozen=True, kw_only=True):
    """`chart`: the loads of the last hour and, behind `|`, the medians of the next ten minutes, as bars."""

    slice: str
    now: BandRow
    chart: str


class ClusterApi:
    """Reads ask one node after the other; a change is sent again elsewhere only while it has not been sent."""

    def __init__(self, addresses: Callable[[], Mapping[str, str]], admin_key: Callable[[], str]) -> None:
        self._addresses = addresses
        self._admin_key = admin_key

    def spoken_to_with(self, key: str) -> ClusterApi:
        """The same cluster, as whoever has that key."""
        return ClusterApi(self._addresses, lambda: key)

    async def read(self, path: str, *, node: str = "") -> object:
        """The decoded answer. Raises ApiUnreachable or ApiRefused of the last node asked."""
        return json.loads((await self._ask("GET", path, b"", node=node, timeout_s=READ_TIMEOUT_S)).body)

    async def change(
        self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json"
    ) -> object:
        """Raises ChangeWaits where the gate wants people to approve it first, as well as what reads raise."""
        answer = await self._ask(method, path, body, content_type=content_type, timeout_s=CHANGE_TIMEOUT_S)
        if answer.status == HTTPStatus.ACCEPTED:
            raise ChangeWaits(method, path, answer.body)
        return json.loads(answer.body) if answer.body else None

    async def leader(self, *, node: str = "") -> str:
        """Empty while nobody leads."""
        status = await self.read("/v1/status", node=node)
        return str(status.get("leader") or "") if isinstance(status, dict) else ""

    async def nodes(self) -> list[NodeRow]:
        return msgspec.convert(await self._all("/v1/nodes", "nodes"), list[NodeRow])

    async def instances(self, *, node: str = "") -> list[InstanceRow]:
        return msgspec.convert(await self._all("/v1/instances", "instances", node=node), list[InstanceRow])

    async def wanted(self) -> dict[str, int]:
        """How many instances each slice should have now, all its versions together."""
        rows = msgspec.convert(await self._all("/v1/slices", "slices"), list[SliceRow])
        found = dict.fromkeys((row.slice for row in rows), 0)
        for row in rows:
            found[row.slice] += row.wanted
        return found

    async def forecasts(self) -> list[ForecastRow]:
        """Of the slices that there are any of."""
        return msgspec.convert(await self._all("/v1/controller/forecast", "items"), list[ForecastRow])

    async def routes(self) -> list[RouteRow]:
        """Those of slices that are served now."""
        return msgspec.convert(await self._all("/v1/routes", "routes"), list[RouteRow])

    async def _all(self, path: str, member: str, *, node: str = "") -> list[object]:
        """The list, over all its pages."""
        found: list[object] = []
        cursor = ""
        while True:
            page = await self.read(f"{path}?cursor={cursor}", node=node)
            assert isinstance(page, dict), "a page is an object"
            found += page[member]
            cursor = page["next"]
            if not cursor:
                return found

    async def upload(self, wheel: Path) -> None:
        body = wheel.read_bytes()
        sha256 = hashlib.sha256(body).hexdigest()
        await self.change("POST", f"/v1/artifacts?sha256={sha256}", body, content_type="application/octet-stream")

    async def apply(self, blueprint: str, toml: bytes) -> None:
        await self.change("PUT", f"/v1/blueprints/{blueprint}", toml, content_type="application/toml")

    async def remove(self, blueprint: str) -> None:
        """Nobody else is there to approve that all of an application goes."""
        await self.change("DELETE", f"/v1/blueprints/{blueprint}?{OVERRIDE}")

    async def scale(self, slice_name: str, instances: int) -> None:
        await self.change(
            "PUT", f"/v1/slices/{slice_name}/scale?{OVERRIDE}", json.dumps({"instances": instances}).encode()
        )

    async def provide_nodes(self, address: str, *, most: int) -> None:
        """Lets the cluster ask there for so many nodes at most."""
        members = {"set": {"provider": address, "most": most}}
        await self.change("PUT", f"/v1/controller/nodes/config?{OVERRIDE}", json.dumps(members).encode())

    async def tell_door(self, address: str) -> None:
        """Lets the nodes pass on to the Forge what is asked of it at their consoles."""
        await self.change("PUT", f"/v1/config/forge_door?{OVERRIDE}", json.dumps({"value": address}).encode())

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        timeout_s: float,
        node: str = "",
        content_type: str = "application/json",
    ) -> Answer:
        headers = [("authorization", f"Bearer {self._admin_key()}"), ("content-type", content_type)]
        addresses = self._addresses()
        if node and node not in addresses:  # it was paused or killed since it was named
            raise ApiUnreachable(node, "it does not run", sent=False)
        asked = [addresses[node]] if node else list(addresses.values())
        last: ApiUnreachable | None = None
        for address in asked:
            try:
                answer = await HttpClient(address).request(method, path, body, headers=headers, timeout_s=timeout_s)
            except ApiUnreachable as error:
                last = error
                if error.sent and method != "GET":
                    raise
                continue
            if answer.status >= 400:
                raise ApiRefused(method, path, answer.status, answer.body)
            return answer
        raise last or ApiUnreachable("?", "no node runs", sent=False)
