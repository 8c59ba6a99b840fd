"""`aether status`: nodes, slices, instances and routes at a glance."""

from __future__ import annotations

import argparse
from typing import cast

from agent_api.cli.api_client import ApiClient
from agent_api.cli.api_commands import Row, add_common, rows_of, show, show_json, with_client
from agent_api.cli.slice import COLUMNS

NODE_COLUMNS = (
    ("NODE", "node"),
    ("STATE", "state"),
    ("ROLE", "role"),
    ("ZONE", "zone"),
    ("INSTANCES", "instances"),
    ("HTTP", "http"),
    ("API", "api"),
)
INSTANCE_COLUMNS = (
    ("INSTANCE", "name"),
    ("NODE", "node"),
    ("PHASE", "phase"),
    ("RESTARTS", "restarts"),
    ("WHY", "reason"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    return with_client(arguments, "status", lambda client: _status(client, as_json=arguments.json))


def _status(client: ApiClient, *, as_json: bool) -> int:
    status = cast(Row, client.get("/v1/status"))
    instances = rows_of(client.get("/v1/instances"), "instances")
    routes = rows_of(client.get("/v1/routes"), "routes")
    if as_json:
        show_json({**status, "instances": instances, "routes": routes})
        return 0
    stale = " (stale: no leader is known)" if status["stale"] else ""
    print(f"revision {status['revision']}, leader {status['leader'] or 'none'}{stale}\n")
    show([{**node, **cast(Row, node["addresses"])} for node in rows_of(status, "nodes")], NODE_COLUMNS)
    print()
    show(rows_of(status, "slices"), COLUMNS)
    print()
    for instance in instances:
        instance["name"] = f"{instance['slice']}/{instance['number']}"
    show(instances, INSTANCE_COLUMNS)
    print()
    show(routes, (("METHOD", "method"), ("PATH", "path"), ("SLICE", "slice"), ("VERSION", "version")))
    return 0
