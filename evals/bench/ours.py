"""Our own rows: a Forge with two nodes, a slice on one of them, and a caller on both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evals.bench.order import EXAMPLE
from evals.bench.peers import PeerFailed, pss_mb
from evals.bench.rows import CONNECTIONS, Drive, Driven, Row, http_drive
from evals.forge.forge import Forge
from evals.forge.http_client import HttpClient
from evals.forge.processes import family
from evals.forge.project import SliceWish, source_of, write_project

CALL_GRACE_S = 20.0


def projects(directory: Path) -> list[Path]:
    """The handler's project and the caller's: two artifacts, so two worker processes."""
    orders = write_project(
        directory / "bench-orders",
        name="bench-orders",
        source=source_of("evals.bench.slice_orders"),
        slices=[SliceWish(name="bench-orders", class_name="BenchOrders")],
    )
    caller = write_project(
        directory / "bench-caller",
        name="bench-caller",
        source=source_of("evals.bench.slice_caller"),
        slices=[
            SliceWish(name="bench-caller", class_name="BenchCaller", instances=2, extra='requires = ["bench-orders"]')
        ],
    )
    return [orders, caller]


async def rows(forge: Forge) -> list[Row]:
    """forward, forward_remote, call and inner_call."""
    placed = {row.slice: row.node for row in await forge.api.instances() if row.slice == "bench-orders"}
    home = placed["bench-orders"]
    away = next(name for name in forge.names if name != home)
    gateway, gateway_away = await _pid(forge, home, "gateway"), await _pid(forge, away, "gateway")
    orders, caller = await _worker(forge, home, "bench-orders"), await _worker(forge, home, "bench-caller")
    home_http, away_http = forge.nodes[home].addresses.http, forge.nodes[away].addresses.http
    return [
        _row("forward", "gateway, worker", http_drive(home_http), (gateway, orders)),
        _row(
            "forward_remote",
            "gateway, mTLS, gateway, worker",
            http_drive(away_http),
            (gateway_away, gateway, orders),
        ),
        _row(
            "call",
            "gateway, slice, gateway, slice",
            http_drive(home_http, path="/bench/front"),
            (gateway, caller, orders),
        ),
        _row("inner_call", "slice, gateway, slice", _call_drive(home_http), (caller, gateway, orders)),
    ]


def _row(name: str, what: str, drive: Drive, processes: Sequence[int]) -> Row:
    return Row(name=name, what=f"Aether: {what}", drive=drive, processes=processes, pss_mb=pss_mb(processes))


def _call_drive(address: str) -> Drive:
    async def drive(seconds: float) -> Driven:
        body = json.dumps({"order": msgspec.to_builtins(EXAMPLE), "seconds": seconds, "callers": CONNECTIONS}).encode()
        answer = await HttpClient(address).request("POST", "/bench/calls", body, timeout_s=seconds + CALL_GRACE_S)
        if answer.status != 200:
            raise PeerFailed(f"the calling slice was answered {answer.status}: {answer.body.decode(errors='replace')}")
        return msgspec.json.decode(answer.body, type=Driven)

    return drive


async def _pid(forge: Forge, node: str, kind: str) -> int:
    return (await forge.processes(node, kind))[0].pid


async def _worker(forge: Forge, node: str, slice_name: str) -> int:
    """The process that hosts the slice on that node."""
    workers = {row.worker for row in await forge.api.instances() if (row.node, row.slice) == (node, slice_name)}
    found = [process.pid for process in await forge.nodes[node].processes() if process.id in workers]
    if len(found) != 1:
        raise PeerFailed(f"{node} has {len(found)} processes for {slice_name}: {sorted(workers)}")
    return found[0]


def node_pids(forge: Forge, node: str) -> tuple[int, ...]:
    return family(forge.nodes[node].pid)
