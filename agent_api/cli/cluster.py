"""`aether cluster`: begin a cluster, make join tokens."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from agent_api.cli.failure import report
from agent_api.cli.listening import add_listen_arguments, address_lines, chosen
from agent_api.cli.table import show_json
from runtime.clock import SystemClock
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.errors import RuntimeFault
from runtime.names import NodeId


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", help="make a cluster's CA and its first node")
    init.add_argument("directory", type=Path, metavar="DIR", help="data directory of the first node")
    init.add_argument("--name", default="n1", help="id of the first node (default n1)")
    init.add_argument("--zone", default="default")
    add_listen_arguments(init)
    token = actions.add_parser("token", help="make a token with which nodes may join")
    token.add_argument("directory", type=Path, metavar="DIR", help="data directory of the node that began the cluster")
    token.add_argument("--uses", type=_uses, default=1, help="how many nodes may join with it (default 1)")
    for action in (init, token):
        action.add_argument("--json", action="store_true", help="print JSON")
    token.add_argument("--hours", type=_hours, default=24, help="how long it is valid (default 24)")


def run(arguments: argparse.Namespace) -> int:
    try:
        return _init(arguments) if arguments.action == "init" else _token(arguments)
    except RuntimeFault as fault:
        return report(f"cluster {arguments.action}", fault)


def _init(arguments: argparse.Namespace) -> int:
    from runtime.cluster.founding import NodePlan, check_empty, check_plan_names, found_cluster

    data = arguments.directory.absolute()
    check_plan_names(arguments.name, arguments.zone)
    check_empty(data)
    listen = chosen(arguments, with_store=True)
    plan = NodePlan(node=NodeId(arguments.name), role="core", zone=arguments.zone, listen=listen)
    identity = found_cluster(data, plan, now_unix_ms=SystemClock().unix_ms())
    admin_key = NodeLayout(data).admin_key.read_text()
    join = f"{_make(data, uses=1, hours=24)}@{addresses_of(listen).api}"
    if arguments.json:
        addresses = msgspec.to_builtins(addresses_of(listen))
        begun = {"cluster_id": identity.cluster_id, "node": identity.node, "data": str(data), "addresses": addresses}
        show_json({**begun, "admin_key": admin_key, "admin_key_file": str(NodeLayout(data).admin_key), "join": join})
        return 0
    print(f"cluster {identity.cluster_id} begun; its first node is {identity.node} in {arguments.directory}")
    print(address_lines(listen))
    print(f"  admin key         {admin_key}")
    print(f"                    told this once; kept in {arguments.directory / 'admin.key'}, for you alone")
    print("\nstart it:")
    print(f"  aether node start --data {arguments.directory}")
    print("then let another node join (the token is for one node, for 24 hours):")
    print(f"  aether node start --data DIR2 --join {join}")
    return 0


def _token(arguments: argparse.Namespace) -> int:
    token = _make(arguments.directory, uses=arguments.uses, hours=arguments.hours)
    if arguments.json:
        show_json({"token": token, "uses": arguments.uses, "hours": arguments.hours})
    else:
        print(token)
    return 0


def _make(data: Path, *, uses: int, hours: int) -> str:
    from runtime.security.authority import Authority
    from runtime.security.token import make_token

    authority = Authority.load(NodeLayout(data).tls)
    return make_token(authority, now_unix_ms=SystemClock().unix_ms(), valid_s=hours * 3600, uses=uses).text()


def _uses(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("between 1 and 1000")
    return int(text)


def _hours(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 24 * 365:
        raise argparse.ArgumentTypeError("between 1 and 8760")
    return int(text)
