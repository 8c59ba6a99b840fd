"""From none in a real node: the first call waits for an instance, and the last one goes when nobody calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from evals.forge.cluster_api import OVERRIDE
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SLICE = "tea"
QUICK = {"idle_s": 10, "hold_s": 10, "cool_down_out_s": 600}
"""The cool-down is what lets so short a memory pass as one that does not oscillate; the first change knows none."""
CALL_S = 30.0
SOURCE = """
from runtime.sdk import deadline, get, slice_


@slice_(name="tea", version="1.0.0")
class Tea:
    @get("/tea")
    @deadline(ms=30_000)
    async def cup(self) -> str:
        return "green"
"""


@pytest.fixture(scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    directory = tmp_path_factory.mktemp("none")
    wish = SliceWish(name=SLICE, class_name="Tea", instances=0, least=0, most=3, extra="min_available = 0")
    project = write_project(directory / "project", name="tea", source=SOURCE, slices=[wish])
    async with Forge(nodes=1, apps=[project], state=directory / "forge") as forge:
        yield forge


async def test_the_first_caller_waits_for_an_instance_and_the_last_goes_when_nobody_calls(forge: Forge) -> None:
    (node,) = forge.names
    member = {"slice": SLICE, "set": QUICK}
    await forge.api.change("PUT", f"/v1/controller/config?{OVERRIDE}", json.dumps(member).encode())
    http = forge.http(node)

    served = await http.request("GET", "/tea", timeout_s=CALL_S)
    assert (served.status, served.body) == (200, b'"green"'), "it waited for what it brought"
    await forge.until_active(SLICE, 1)

    await forge.until_active(SLICE, 0)
    short = await http.request("GET", "/tea", headers=[("x-deadline-ms", "50")])
    assert (short.status, json.loads(short.body)["code"]) == (503, "no_instance")
    assert json.loads(short.body)["retryable"] is True
    assert short.headers["retry-after"]
    page = await forge.api.read(f"/v1/controller/decisions?slice={SLICE}")
    assert isinstance(page, dict)
    decided = [(each["decision"]["wanted"], each["decision"]["because"][0]) for each in page["items"]]
    assert decided[-1] == (1, "waiting")
    assert (0, "idle") in decided
