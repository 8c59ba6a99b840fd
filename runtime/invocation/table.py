"""The routing table: everything a gateway needs to serve, in one message that control pushes."""

from __future__ import annotations

import msgspec

from runtime.sdk.contract import SliceContract


class InstanceRow(msgspec.Struct, frozen=True, array_like=True):
    """One instance that takes calls."""

    slice: str
    version: str
    node: str
    number: int
    weight: int = 100
    worker: str = ""  # local ones: the worker's id, or "inline"; empty for those of other nodes


class PeerRow(msgspec.Struct, frozen=True, array_like=True):
    """Another node's gateway. `leaving` ones finish what they have and get no new calls."""

    node: str
    address: str
    leaving: bool = False


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table as of a revision; a gateway replaces what it had. HTTP routes are those of the contracts
    of which an instance is listed, so a route goes with its last instance."""

    revision: int
    node: str
    peers: tuple[PeerRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    contracts: tuple[SliceContract, ...] = ()
