"""Choosing the ports of a node and checking that they are free."""

from __future__ import annotations

import socket
from typing import Final

from runtime.cluster.identity import Listen
from runtime.errors import RuntimeFault
from runtime.state.values import Addresses

BASE: Final = 7400  # http, then api, peer, control, store; unassigned and below the ephemeral range
STEP: Final = 10
PORT_MAX: Final = 65_535
BASES_TRIED_MAX: Final = 100
OFFSETS: Final = {"http": 0, "api": 1, "peer": 2, "control": 3, "store": 4}
PURPOSES: Final = {
    "http": "application HTTP",
    "api": "API",
    "peer": "peer frames",
    "control": "control",
    "store": "store",
}


class AddressInvalid(RuntimeFault):
    code = "address_invalid"
    remedy = "Write it as HOST or HOST:PORT, for example 127.0.0.1:7400."


class PortTaken(RuntimeFault):
    code = "port_taken"
    remedy = "End the program that uses it, or choose other ports: --listen HOST:PORT, or --http, --api and so on."

    def __init__(self, host: str, port: int, purpose: str, cause: str) -> None:
        super().__init__(f"{host}:{port} ({PURPOSES[purpose]}) cannot be used: {cause}")


def split_address(text: str, *, default_port: int = 0) -> tuple[str, int]:
    """("127.0.0.1", 7400) for "127.0.0.1:7400". Raises AddressInvalid."""
    host, separator, port = text.rpartition(":")
    if not separator:
        host, port = text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > PORT_MAX:
        raise AddressInvalid(f"{text!r} is no address")
    return host, int(port)


def choose(host: str, base: int, wanted: dict[str, int], *, with_store: bool) -> Listen:
    """The ports that were asked for; the rest behind `base`, or behind the first free base when it is 0.

    Raises PortTaken for one that was asked for.
    """
    names = [name for name in OFFSETS if name != "store" or with_store]
    bases = [base] if base else range(BASE, BASE + STEP * BASES_TRIED_MAX, STEP)
    taken: PortTaken | None = None
    for candidate in bases:
        ports = {name: wanted.get(name) or candidate + OFFSETS[name] for name in names}
        try:
            check_free(host, ports)
        except PortTaken as error:
            taken = error
            continue
        return Listen(
            host=host,
            http=ports["http"],
            api=ports["api"],
            peer=ports["peer"],
            control=ports["control"],
            store=ports.get("store", 0),
        )
    assert taken is not None
    raise taken


def check_free(host: str, ports: dict[str, int]) -> None:
    """Binds each port for a moment. Raises PortTaken or AddressInvalid."""
    seen: dict[int, str] = {}
    for name, port in ports.items():
        if port in seen:
            raise PortTaken(host, port, name, f"it is also the {PURPOSES[seen[port]]} port")
        seen[port] = name
        if port > PORT_MAX:
            raise PortTaken(host, port, name, f"ports end at {PORT_MAX}")
        _bind(host, port, name)


def ports_of(listen: Listen) -> dict[str, int]:
    """The ports by purpose, without the store's where there is none."""
    ports = {name: int(getattr(listen, name)) for name in OFFSETS}
    return {name: port for name, port in ports.items() if port}


def addresses_of(listen: Listen) -> Addresses:
    """As other nodes reach them."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    bound = {name: f"{host}:{port}" for name, port in ports_of(listen).items()}
    return Addresses(**{**bound, **{name: listen.advertised[name] for name in bound if name in listen.advertised}})


def _bind(host: str, port: int, name: str) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise AddressInvalid(f"host {host!r} is not known") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise PortTaken(host, port, name, getattr(error, "strerror", "") or str(error)) from None
