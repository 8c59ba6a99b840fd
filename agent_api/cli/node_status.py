"""`aether node status`: what runs on this node, from its supervisor alone, so it answers also when all else fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec

from agent_api.cli.listening import address_lines
from agent_api.cli.node_join import identity_of
from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.cluster.supervision import SupervisedProcess, SupervisorClient, SupervisorUnavailable


def show(data: Path, *, as_json: bool) -> int:
    """0 when every process of the node runs, else 1."""
    identity = identity_of(data)
    processes = asyncio.run(_processes(data))
    well = processes is not None and all(
        process.state == "running" or process.kind == "worker" for process in processes
    )
    if as_json:
        print(_as_json(identity, processes))
        return 0 if well else 1
    print(f"node {identity.node} ({identity.role}, zone {identity.zone}) of cluster {identity.cluster_id}")
    print(address_lines(identity.listen))
    if processes is None:
        print("  not running; start it: aether node start --data", data)
    for process in processes or ():
        pid = f"pid {process.pid}" if process.pid else ""
        ended = f"last ended: {process.last_exit}" if process.last_exit else ""
        print(f"  {process.id:<17} {process.state:<9} {pid:<12} restarts {process.restarts}  {ended}".rstrip())
    return 0 if well else 1


async def _processes(data: Path) -> tuple[SupervisedProcess, ...] | None:
    """None when the node does not run."""
    try:
        return await SupervisorClient(NodeLayout(data).socket("supervisor")).processes()
    except SupervisorUnavailable:
        return None


def identity_document(identity: NodeIdentity) -> dict[str, object]:
    return {
        "node": identity.node,
        "cluster_id": identity.cluster_id,
        "role": identity.role,
        "zone": identity.zone,
        "addresses": msgspec.to_builtins(addresses_of(identity.listen)),
    }


def _as_json(identity: NodeIdentity, processes: tuple[SupervisedProcess, ...] | None) -> str:
    return json.dumps(
        {
            **identity_document(identity),
            "running": processes is not None,
            "processes": msgspec.to_builtins(processes or ()),
        },
        indent=2,
    )
