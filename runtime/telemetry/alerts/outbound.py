"""Where the cluster may connect to for telling alerts: checked by address, after names were looked up."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from runtime.errors import RuntimeFault

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NOWHERE: Final = "an address that nobody may be reached at"


class DestinationRefused(RuntimeFault):
    """This node may not connect there."""

    code = "destination_refused"
    remedy = "Allow it in the file of every core node: alert_hosts_allowed in config.toml."


def resolved(host: str, port: int, allowed: Sequence[str]) -> tuple[str, int]:
    """An address of the host that may be connected to: whoever connects uses it and looks up no name again, so that a
    name cannot lead elsewhere in between. Blocks. Raises DestinationRefused, OSError where there is no such name.

    allowed: names, addresses, and networks as "10.0.0.0/8"; empty is any. Link-local addresses, where clouds tell
    machines their secrets, must be named.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    refused = _NOWHERE
    for _, _, _, _, where in found:
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        refused = refusal(host, address, allowed)
        if not refused:
            return str(where[0]), port
    raise DestinationRefused(f"{host} is {refused}")


def refusal(host: str, address: Address, allowed: Sequence[str]) -> str:
    """Why not; empty if it may be."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if any(_fits(host, address, each) for each in allowed):
        return ""
    if allowed:
        return "not among alert_hosts_allowed"
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return _NOWHERE
    return ""


def _fits(host: str, address: Address, allowed: str) -> bool:
    if host.lower() == allowed.lower():
        return True
    try:
        network = ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return False
    return address.version == network.version and address in network
