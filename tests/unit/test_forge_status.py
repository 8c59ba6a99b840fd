"""What the live view says of the cluster and of the load."""

from __future__ import annotations

import io

from rich.console import Console

from agent_api.cli.forge_view import plain_line, render
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.scenario import Mix
from evals.forge.status import LoadWindow, NodeStatus, Status


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
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(status, ["n2 is paused"], "kill no"))
    shown = console.export_text()
    for part in ("n1 (leader)", "down", "shortener 3/4", "12 requests/s · p99 4.5 ms", "1 failed", "boom", "> kill no"):
        assert part in shown
    assert plain_line(status) == ("nodes n1 · leader n1 · 3 instances active · 12 requests/s · p99 4.5 ms · 1 failed")
