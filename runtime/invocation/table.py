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


class RestingRow(msgspec.Struct, frozen=True, array_like=True):
    """A version of a slice that may be at no instances, while it is: the first call brings one back."""

    slice: str
    version: str
    weight: int = 100


class SliceRules(msgspec.Struct, frozen=True, array_like=True):
    """What settings say of requests to a slice over HTTP."""

    request_ms_max: int = 300_000  # whatever a method's contract says
    slow_request_ms: int = 500  # one that takes longer is logged and traced


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table as of a revision; a gateway replaces what it had. HTTP routes are those of the contracts
    of which an instance is listed, so a route goes with its last instance; and of those that rest."""

    revision: int
    node: str
    peers: tuple[PeerRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    resting: tuple[RestingRow, ...] = ()
    contracts: tuple[SliceContract, ...] = ()
    rules: SliceRules = SliceRules()
    rules_of: dict[str, SliceRules] = {}
    """Of the slices that have other ones than `rules`."""
