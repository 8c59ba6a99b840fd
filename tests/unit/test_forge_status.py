"""What the live view says of the cluster and of the load."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from agent_api.cli.forge_view import plain_line, render
from evals.forge.cluster_api import BandRow, ClusterApi, ForecastRow
from evals.forge.errors import ApiUnreachable
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.scenario import Mix
from evals.forge.node import ForgeNode
from evals.forge.status import LoadWindow, NodeStatus, Status, read_status


def test_requests_a_second_are_right_however_often_one_looks() -> None:
    """Every second in a terminal, every five where it prints lines."""
    for every_s in (1.0, 5.0):
        now_s = 100.0
        generator = LoadGenerator([], Mix(()), Profile())
        window = LoadWindow(generator, now_s=lambda: now_s)  # noqa: B023  read in the same turn
        for _ in range(9):
            rates, p99_ms = window.read()
            now_s += every_s
            for _ in range(int(20 * every_s)):
                generator.report.success("n1", 2_000)
        assert rates == {"n1": 20.0}
        assert 2.0 <= p99_ms <= 2.2


@pytest.mark.anyio
async def test_a_node_that_was_paused_since_it_was_named_cannot_be_reached() -> None:
    """Whoever asks one node alone: `pause` of it meanwhile must not end the whole Forge."""
    api = ClusterApi(lambda: {"n2": "127.0.0.1:9"}, lambda: "key")
    with pytest.raises(ApiUnreachable, match="n1"):
        await api.instances(node="n1")


@pytest.mark.anyio
async def test_a_node_that_is_being_provided_is_shown_as_joining(tmp_path: Path) -> None:
    """Its directory does not stand yet; the view must not end the whole Forge for that."""

    class Unanswered:
        async def leader(self) -> str:
            raise ApiUnreachable("?", "nobody answers", sent=False)

    forge = SimpleNamespace(api=Unanswered(), nodes={"auto-1": ForgeNode("auto-1", tmp_path / "auto-1")})
    status = await read_status(forge, None)  # type: ignore[arg-type]  # all that it reads
    assert [(node.name, node.state, node.url) for node in status.nodes] == [("auto-1", "joining", "")]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(status, [], ""))
    assert "joining" in console.export_text()


def test_the_view_shows_nodes_leader_instances_and_load() -> None:
    nodes = (
        NodeStatus(name="n1", url="http://127.0.0.1:1", state="running", leads=True, active=3, rps=12.0),
        NodeStatus(name="n2", url="http://127.0.0.1:2", state="down", leads=False, active=0, rps=0.0),
    )
    status = Status(
        nodes=nodes,
        slices=(("shortener", 3, 4),),
        troubles=("shortener on n2: failed, boom",),
        rps=12.0,
        p99_ms=4.5,
        sent=99,
        failed=1,
        leader="n1",
        forecasts=(
            ForecastRow(slice="shortener", now=BandRow(p10=9.0, p50=12.0, p90=15.25, rate=11.5), chart="▄▅|█"),
            ForecastRow(slice="orders", now=BandRow(p10=0.0, p50=1.0, p90=2.0), chart="|▁"),
        ),
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(status, ["n2 is paused"], "kill no"))
    shown = console.export_text()
    for part in ("n1 (leader)", "down", "shortener 3/4", "12 requests/s · p99 4.5 ms", "1 failed", "boom", "> kill no"):
        assert part in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["shortener", "11.5", "9.0", "to", "15.2", "▄▅|█"] in rows
    assert ["orders", "–", "0.0", "to", "2.0", "|▁"] in rows
    assert plain_line(status) == ("nodes n1 · leader n1 · 3 instances active · 12 requests/s · p99 4.5 ms · 1 failed")
