"""System slices: the server parts of infra services, hosted inline by every gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from runtime.hosting.ports import InstanceHost, InstanceSettings, PreparedArtifact
from runtime.invocation.router import INLINE
from runtime.invocation.table import InstanceRow, RoutingTable
from runtime.names import Sha256
from runtime.sdk.bundle import read_entry
from runtime.sdk.contract import SliceContract

SYSTEM_INSTANCE: Final = 1  # one of each on every node
OURS: Final = Sha256("")  # code of the node itself, which no artifact holds


async def start_system_slices(host: InstanceHost, entries: Sequence[str]) -> tuple[SliceContract, ...]:
    """Loads and activates the classes named `module:Class`. Raises InstanceFailed or SliceInvalid."""
    contracts = tuple(read_entry(entry).contract for entry in entries)
    for contract in contracts:
        artifact = PreparedArtifact(sha256=OURS, code="", slices=(contract,))
        settings = InstanceSettings(slice=contract.name, number=SYSTEM_INSTANCE, version=contract.version)
        await host.load(artifact, settings)
        await host.activate(contract.name, SYSTEM_INSTANCE)
    return contracts


def with_system_slices(table: RoutingTable, contracts: Sequence[SliceContract]) -> RoutingTable:
    """The table with the system slices of every node in it: control need not list what always runs."""
    if not contracts:
        return table
    names = {contract.name for contract in contracts}
    nodes = (table.node, *(peer.node for peer in table.peers))
    rows = tuple(
        InstanceRow(contract.name, contract.version, node, SYSTEM_INSTANCE, 100, INLINE if node == table.node else "")
        for contract in contracts
        for node in nodes
    )
    return msgspec.structs.replace(
        table,
        instances=(*(row for row in table.instances if row.slice not in names), *rows),
        contracts=(*(contract for contract in table.contracts if contract.name not in names), *contracts),
    )
