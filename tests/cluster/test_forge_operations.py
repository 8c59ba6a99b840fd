"""Operations that real processes carry out: what is logged, alerts, snapshots of the store, and the end of a node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from evals.forge.errors import ApiRefused
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project
from runtime.cluster.layout import NodeLayout
from runtime.config.settings import read_settings
from runtime.consensus.backup import verify
from runtime.content.disk import DiskContent
from runtime.names import Sha256

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOURCE = '''
import asyncio

from runtime.sdk import get, idempotent, slice_

@slice_(name="hello", version="1.0.0")
class Hello:
    """Answers."""

    @idempotent
    @get("/hello")
    async def hello(self) -> str:
        return "hello"

    @idempotent
    @get("/slowly")
    async def slowly(self) -> str:
        await asyncio.sleep(0.02)
        return "hello"
'''
UNSAMPLED = (("traceparent", f"00-{'1' * 32}-{'1' * 16}-00"),)  # else one in some is logged however quick it is
OVERRIDE = "break_glass=true&reason=a+test"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    wish = SliceWish(name="hello", class_name="Hello", instances=3)
    project = write_project(tmp_path_factory.mktemp("hello"), name="hello", source=SOURCE, slices=[wish])
    async with Forge(nodes=3, apps=[project]) as forge:
        yield forge


async def ask(forge: Forge, path: str) -> Any:
    return await forge.api.read(path)


async def change(forge: Forge, method: str, path: str, **members: object) -> Any:
    return await forge.api.change(method, f"{path}?{OVERRIDE}", json.dumps(members).encode())


async def events_named(forge: Forge, name: str) -> list[dict[str, Any]]:
    return [each["data"] for each in (await ask(forge, "/v1/events?limit=1000"))["events"] if each["event"] == name]


async def test_a_log_level_reaches_every_process_without_a_restart(forge: Forge) -> None:
    """Who looks for a fault cannot restart what shows it."""
    before = {row.worker for row in await forge.api.instances()}
    applied = await change(forge, "PUT", "/v1/log-level", level="debug")
    assert applied["applies"] == "live"

    async def told() -> bool:
        lines = (await ask(forge, "/v1/logs?event=log_level_changed&limit=1000"))["logs"]
        heard = {(line["node"], line["process"]) for line in lines if line["to"] == "debug"}
        workers = {worker for _, worker in heard if worker.startswith("w-")}
        return heard >= {(n, p) for n in forge.names for p in ("control", "gateway")} and workers >= before

    await forge.until("every process logs at debug", told, timeout_s=15.0)
    await change(forge, "PUT", "/v1/log-level", level="info")


async def test_what_is_slow_of_one_slice_is_set_at_every_gateway_without_a_restart(forge: Forge) -> None:
    """20 ms are nothing for most slices, and too much for some."""
    path = "/v1/logs?event=request_served&limit=1000"
    assert not [line for line in (await ask(forge, path))["logs"] if line["route"] == "/slowly"]
    await change(forge, "PUT", "/v1/config/slow_request_ms", value=1, slice="hello")

    async def told() -> bool:
        for name in forge.names:
            await forge.http(name).request("GET", "/slowly", headers=UNSAMPLED)
        lines = (await ask(forge, path))["logs"]
        return {line["node"] for line in lines if line["route"] == "/slowly"} == set(forge.names)

    await forge.until("every gateway logs it", told, timeout_s=15.0)
    await change(forge, "DELETE", "/v1/config/slow_request_ms", slice="hello")


async def test_a_setting_of_one_node_is_kept_for_its_next_start(forge: Forge) -> None:
    await change(forge, "PUT", "/v1/config/http_body_max_mib", value=8, node="n2")
    data = {name: NodeLayout(forge.nodes[name].data).data for name in forge.names}

    async def kept() -> bool:
        return read_settings(data["n2"]).http_body_max_mib == 8

    await forge.until("n2 has kept it", kept, timeout_s=10.0)
    assert read_settings(data["n1"]).http_body_max_mib == 4
    shown = (await ask(forge, "/v1/config/http_body_max_mib?node=n2"))["setting"]
    assert (shown["value"], shown["source"]) == (8, "node")
    await change(forge, "DELETE", "/v1/config/http_body_max_mib", node="n2")


async def test_an_alert_fires_while_a_figure_is_above_its_threshold(forge: Forge) -> None:
    await change(forge, "PUT", "/v1/alerts/hello/p50_ms", bound=0.0, for_s=1)

    async def fires() -> bool:
        for name in forge.names:
            await forge.http(name).request("GET", "/hello")
        rows = [row for row in (await ask(forge, "/v1/alerts"))["items"] if row["name"] == "ThresholdPassed"]
        return any(row["state"] == "firing" and row["value"] > 0 for row in rows)

    await forge.until("the alert fires", fires, timeout_s=30.0)
    assert "p50_ms" in [data["labels"].get("metric") for data in await events_named(forge, "AlertFired")]
    await change(forge, "DELETE", "/v1/alerts/hello/p50_ms")

    async def cleared() -> bool:
        return bool(await events_named(forge, "AlertEnded"))

    await forge.until("the alert goes with its threshold", cleared, timeout_s=10.0)


async def test_a_snapshot_of_the_store_is_kept_on_several_nodes_and_can_be_read(forge: Forge) -> None:
    number = (await change(forge, "POST", "/v1/store/snapshots"))["number"]

    async def kept() -> bool:
        row = (await ask(forge, "/v1/store/snapshots"))["items"][0]
        return bool(row["number"] == number and row["state"] == "kept" and len(row["nodes"]) >= 2)

    await forge.until("the snapshot is kept", kept, timeout_s=30.0)
    row = (await ask(forge, "/v1/store/snapshots"))["items"][0]
    path = DiskContent(NodeLayout(forge.nodes[row["nodes"][0]].data).content).path(Sha256(row["sha256"]))
    summary = verify(path)
    assert summary.revision >= row["revision"]
    assert summary.sha256 == row["sha256"]


async def test_a_node_that_is_shut_down_hands_over_ends_and_can_come_back(forge: Forge) -> None:
    leader = await forge.until_leader()
    name = next(each for each in reversed(forge.names) if each != leader)
    node = forge.nodes[name]
    await change(forge, "POST", f"/v1/nodes/{name}/shutdown")

    async def ended() -> bool:
        return not node.running

    await forge.until(f"{name} has ended", ended, timeout_s=40.0)
    rows = {row.node: row.state for row in await forge.api.nodes()}
    assert rows[name] != "up"
    others = await forge.api.instances()
    assert all(row.node != name for row in others if row.serving)
    assert sum(row.serving for row in others) == 3
    await forge.start_node(name)
    await forge.until_well()
    (record,) = [row for row in (await ask(forge, "/v1/nodes"))["nodes"] if row["node"] == name]
    assert (record["state"], record["shutdown"], record["leaving"]) == ("up", False, False)


async def test_a_second_core_node_is_not_shut_down_after_the_first(forge: Forge) -> None:
    """Nobody could decide anything any more, and nobody could start it again from here."""
    leader = await forge.until_leader()
    first, second = (name for name in forge.names if name != leader)
    await forge.nodes[first].kill()
    try:
        await forge.until(f"{first} is down", partial(_is_down, forge, first), timeout_s=20.0)
        with pytest.raises(ApiRefused) as refused:
            await change(forge, "POST", f"/v1/nodes/{second}/shutdown")
        assert refused.value.problem_body["code"] == "quorum_lost"
    finally:
        await forge.start_node(first)
        await forge.until_well()


async def _is_down(forge: Forge, name: str) -> bool:
    return any(row.node == name and not row.live for row in await forge.api.nodes())
