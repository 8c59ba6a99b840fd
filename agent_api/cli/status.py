"""`aether status`: nodes, slices, instances and routes at a glance."""

from __future__ import annotations

import argparse
from typing import Final, cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.query import answered
from agent_api.cli.table import Row, show, show_json
from agent_api.client.client import Client
from runtime.errors import RuntimeFault

NODES: Final = (
    ("NODE", "node"),
    ("STATE", "state"),
    ("ROLE", "role"),
    ("ZONE", "zone"),
    ("INSTANCES", "instances"),
    ("HTTP", "http"),
    ("API", "api"),
)
SLICES: Final = (
    ("SLICE", "slice"),
    ("VERSION", "version"),
    ("WANTED", "wanted"),
    ("SERVING", "serving"),
    ("FAILED", "failed"),
    ("BLUEPRINT", "blueprint"),
    ("WHY", "reasons"),
)
INSTANCES: Final = (
    ("INSTANCE", "name"),
    ("NODE", "node"),
    ("PHASE", "phase"),
    ("RESTARTS", "restarts"),
    ("WHY", "reason"),
)
ROUTES: Final = (("METHOD", "method"), ("PATH", "path"), ("SLICE", "slice"), ("VERSION", "version"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        with client_of(arguments) as client:
            return _status(client, as_json=arguments.json)
    except RuntimeFault as fault:
        return report("status", fault)


def _status(client: Client, *, as_json: bool) -> int:
    status = answered(client, client.talks.query("cluster.status"), {})
    instances = _rows(client, "instance.list", "instances")
    routes = _rows(client, "route.list", "routes")
    if as_json:
        show_json({**status, "instances": instances, "routes": routes})
        return 0
    stale = " (stale: no leader is known)" if status["stale"] else ""
    print(f"revision {status['revision']}, leader {status['leader'] or 'none'}{stale}\n")
    nodes = cast(list[Row], status["nodes"])
    show([{**node, **cast(Row, node["addresses"])} for node in nodes], NODES)
    print()
    show(cast(list[Row], status["slices"]), SLICES)
    print()
    show([{**each, "name": f"{each['slice']}/{each['number']}"} for each in instances], INSTANCES)
    print()
    show(routes, ROUTES)
    return 0


def _rows(client: Client, operation: str, name: str) -> list[Row]:
    return cast(list[Row], answered(client, client.talks.query(operation), {})[name])
