"""Three real nodes, both examples: served by any node, whatever is killed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from evals.forge.campaigns import kill_rounds
from evals.forge.chaos import Chaos
from evals.forge.errors import ApiRefused
from evals.forge.executions import WithExecutions, executed, executed_twice, executions_project
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.outcome import LoadReport
from evals.forge.load.profile import Profile
from evals.forge.load.requests import links_mix
from evals.forge.load.scenario import Mix
from evals.forge.processes import family
from runtime.cluster.ports import ports_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

RPS = 200.0
LOST_MAX = 2  # requests that a worker, which answers in a moment, had at the very moment
GATEWAY_LOST_MAX = (
    14  # with a gateway, or its node, go those on all its connections: 67 a second, 0.2 s on a busy machine
)
JSON = [("content-type", "application/json")]
SEED = int(os.environ.get("AETHER_TEST_SEED", "1"))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executions")


@pytest.fixture(scope="module")
async def forge(examples: dict[str, Path], log: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    project = executions_project(tmp_path_factory.mktemp("project"), log)
    async with Forge(nodes=3, apps=[*examples.values(), project]) as forge:
        yield forge


async def under_load(forge: Forge, command: str) -> LoadReport:
    """Load over all gateways, before, while and until all is well again after the command."""
    scenario = WithExecutions(Mix(tuple(await links_mix(forge))), command.replace(" ", "-"))
    generator = LoadGenerator(forge.targets(), scenario, Profile(rps=RPS))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(generator.run)
        await anyio.sleep(0.5)
        await Chaos(forge).do(command)
        await forge.until_well()
        generator.stop()
    return generator.report


def only_lost_connections(report: LoadReport, most: int) -> bool:
    """Whether nothing failed but what was on its way through the killed process itself."""
    known = {"connection_reset", "connection_closed", "http_502 connection_lost", "http_503 connection_lost"}
    return report.failed <= most and set(report.causes) <= known


def listening(pids: tuple[int, ...]) -> set[int]:
    """The TCP ports on which one of these processes listens, as the kernel tells."""
    held = set[str]()
    for link in [link for pid in pids for link in Path("/proc").glob(f"{pid}/fd/*")]:
        with contextlib.suppress(FileNotFoundError):  # closed since
            held.add(os.readlink(link))
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held}


async def test_a_node_listens_on_its_five_ports_and_on_nothing_else(forge: Forge) -> None:
    for node in forge.nodes.values():
        assert listening(family(node.pid)) == set(ports_of(node.listen).values())


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
async def test_a_url_is_shortened_and_resolved_through_any_node(forge: Forge, node: str) -> None:
    client = forge.http(node)
    wish = json.dumps({"url": f"https://example.com/{node}"}).encode()
    made = await client.request("POST", "/links", wish, headers=JSON)
    assert made.status == 201, made.body
    code = json.loads(made.body)["code"]
    for name in forge.names:
        followed = await forge.http(name).request("GET", f"/s/{code}")
        assert (followed.status, followed.headers["location"]) == (302, f"https://example.com/{node}")


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
async def test_an_order_passes_five_slices_from_any_node(forge: Forge, node: str) -> None:
    client = forge.http(node)
    wish = {"order_id": f"o-{node}", "customer": node, "lines": [{"sku": "mug", "quantity": 2}], "card": "card-1"}
    placed = await client.request("POST", "/orders", json.dumps(wish).encode(), headers=JSON)
    assert placed.status == 201, placed.body
    assert json.loads(placed.body)["quote"]["total_cents"] == 2580
    told = await client.request("GET", f"/customers/{node}/messages")
    assert [message["message_id"] for message in json.loads(told.body)] == [f"o-{node}-placed"]
    declined = await client.request(
        "POST", "/orders", json.dumps({**wish, "order_id": f"p-{node}", "card": "card-declined"}).encode(), headers=JSON
    )
    assert (declined.status, json.loads(declined.body)["code"]) == (402, "payment_declined")


async def test_a_request_id_comes_back_and_an_unknown_path_is_a_problem(forge: Forge) -> None:
    answer = await forge.http("n2").request("GET", "/nowhere", headers=[("x-request-id", "my-own-id")])
    assert answer.status == 404
    assert answer.headers["x-request-id"] == "my-own-id"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["worker", "gateway", "control", "store"])
async def test_killing_a_process_of_the_leader_goes_unnoticed(forge: Forge, log: Path, kind: str) -> None:
    """A gateway takes what is on its own connections with it, and nothing else is lost."""
    report = await under_load(forge, f"kill {kind}")
    most = GATEWAY_LOST_MAX if kind == "gateway" else LOST_MAX
    assert only_lost_connections(report, most), "\n".join(report.lines())
    assert executed_twice(log) == {}


async def test_killing_nodes_goes_unnoticed_and_nothing_runs_twice(forge: Forge, log: Path) -> None:
    """One round of the campaign: the leader's node, then another one."""
    links = Mix(tuple(await links_mix(forge)))
    result = await kill_rounds(forge, log, links, seed=SEED, rounds=1, rps=RPS)
    assert not result.unexplained, "\n".join(result.lines())
    assert result.load.failed <= 2 * GATEWAY_LOST_MAX, "\n".join(result.lines())
    assert result.twice == {}
    assert executed(log) > 0


async def test_without_a_quorum_requests_are_served_and_changes_refused(forge: Forge) -> None:
    survivor = next(row.node for row in await forge.api.instances() if row.slice == "recorder")
    for name in [name for name in forge.names if name != survivor]:
        await forge.nodes[name].kill()
    try:
        await forge.until("nobody leads", partial(_nobody_leads, forge), timeout_s=20.0)
        with pytest.raises(ApiRefused) as refused:
            await forge.api.scale("shortener", 4)
        assert (refused.value.status, refused.value.problem_body["code"]) == (503, "no_quorum")
        for number in range(10):
            assert (await forge.http(survivor).request("POST", f"/executions/alone-{number}")).status == 200
    finally:
        for name in forge.names:
            await forge.start_node(name)
        await forge.until_well()


async def test_a_rolling_restart_loses_nothing(forge: Forge, log: Path) -> None:
    report = await under_load(forge, "restart rolling")
    assert report.failed == 0, "\n".join(report.lines())
    assert executed_twice(log) == {}


async def says_who_is_silent(forge: Forge, asked: str, path: str, silent: str) -> None:
    answer = await forge.api.read(path, node=asked)
    assert isinstance(answer, dict)
    assert answer["silent"] == [silent], path


async def test_a_paused_node_is_passed_over(forge: Forge) -> None:
    """Its own gateway cannot answer; the others do, also for slices that had an instance there."""
    leader = await forge.until_leader()
    paused = next(name for name in forge.names if name != leader)
    chaos = Chaos(forge)
    await links_mix(forge)
    await chaos.do(f"pause {paused}")
    try:
        async with anyio.create_task_group() as tasks:  # at once: soon it is known to be down, and not even asked
            for path in ("/v1/logs", "/v1/traces", "/v1/slices/shortener/window"):
                tasks.start_soon(says_who_is_silent, forge, leader, path, paused)
        await chaos.until(f"node {paused} down")
        await says_who_is_silent(forge, leader, "/v1/logs", paused)
        for name in forge.running():
            answers = [await forge.http(name).request("GET", f"/s/page-{number}") for number in range(4)]
            assert [answer.status for answer in answers] == [302] * 4
    finally:
        await chaos.do(f"resume {paused}")
    await forge.until_well()


async def test_instances_follow_the_number_that_is_wanted(forge: Forge) -> None:
    await forge.api.scale("shortener", 5)
    await forge.until_active("shortener", 5)
    await forge.api.scale("shortener", 3)
    await forge.until("three are left", partial(_count_is, forge, 3), timeout_s=20.0)
    await forge.until_active("shortener", 3)


async def _nobody_leads(forge: Forge) -> bool:
    return not await forge.api.leader()


async def _count_is(forge: Forge, count: int) -> bool:
    return sum(row.slice == "shortener" for row in await forge.api.instances()) == count
